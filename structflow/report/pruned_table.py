"""The table of networks with pruned weights, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..results.pruned import CONDITIONAL
from ..results.read import structure_name
from .narrow import NumberTable
from .numbers import shown, with_error
from .ranking_table import SHORT

LEFT_OUT = ("mae", "calibration_error")
"""Metrics that aren't shown."""


def pruned_table(entries: Sequence[dict[str, Any]], most: int) -> NumberTable:
    """The first pruned networks: score ± standard error, how many weights are left of how many, and metrics."""
    rows = "test" if entries[0]["metrics"]["test"] else "train"
    metrics = [name for name in entries[0]["metrics"][rows] if name not in LEFT_OUT]
    titles = ["pruned network", "score", "weights left", *(f"{rows}\n{SHORT.get(name, name)}" for name in metrics)]
    cells = [
        [
            structure_name(entry["structure"]),
            with_error(f"{entry['score']:.2f}", entry["score_se"]),
            f"{entry['pruned']['left']:,} of {entry['pruned']['weights']:,}",
            *(shown(entry["metrics"][rows][name]) for name in metrics),
        ]
        for entry in entries[:most]
    ]
    return NumberTable(titles, cells, title=f"networks with pruned weights; the score is {CONDITIONAL}")
