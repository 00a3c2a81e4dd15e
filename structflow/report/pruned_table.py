"""The table of networks with pruned weights, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..results.models import PrunedNetwork
from ..results.pruned import CONDITIONAL
from ..results.read import structure_name
from .narrow import NumberTable
from .numbers import shown, with_error
from .ranking_table import SHORT, legend_of_marks, mark_of

LEFT_OUT = ("mae", "calibration_error")
"""Metrics that aren't shown."""


def print_pruned_table(console: Console, entries: Sequence[PrunedNetwork], most: int) -> None:
    """The first pruned networks: score ± standard error, how many weights are left of how many, and metrics.

    Below it, what the signs beside scores mean.
    """
    rows = "test" if entries[0].metrics["test"] else "train"
    metrics = [name for name in entries[0].metrics[rows] if name not in LEFT_OUT]
    titles = ["pruned network", "score", "weights left", *(f"{rows}\n{SHORT.get(name, name)}" for name in metrics)]
    chosen = entries[:most]
    width = 2 * any(map(mark_of, chosen))
    cells = [
        [
            structure_name(entry.structure),
            with_error(f"{entry.score:.2f}", entry.score_se) + mark_of(entry).rjust(width),
            f"{entry.pruned.left:,} of {entry.pruned.weights:,}",
            *(shown(entry.metrics[rows][name]) for name in metrics),
        ]
        for entry in chosen
    ]
    title = f"networks with pruned weights; the score is {CONDITIONAL}"
    NumberTable(titles, cells, title=title).print(console)
    legend = "; ".join(legend_of_marks(chosen))
    if legend:
        console.print(legend, highlight=False)
