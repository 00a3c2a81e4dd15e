"""Curves of removed weights: a table for the terminal and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..errors import CallError
from ..results.models import StructureCurves, Summary
from ..results.read import structure_name
from ..store.records import RemovalCurve, RemovalReport
from .image import new_figure, save_image

SHARES_SHOWN = 9
"""Columns of the table; of more shares, evenly spread ones."""

PANELS_IN_A_ROW = 3

Panel = dict[str, tuple[Sequence[float], Sequence[float | None]]]
"""Curves by criterion: shares and values."""

WORDS = {"log_likelihood": "log likelihood", "rmse": "RMSE", "calibration_error": "calibration error"}


def relevance_table(entry: StructureCurves) -> Table:
    """One line a criterion: the telling metric of the test rows, or the training rows, by the share removed."""
    criteria = entry.criteria
    first = next(iter(criteria.values()))
    rows, metric = telling_metric(first)
    shown = spread(len(first.share), SHARES_SHOWN)
    title = f"structure {entry.rank}, weights removed: {rows} {WORDS.get(metric, metric)}"
    table = Table(
        title=title, title_justify="left", title_style="", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
    )
    table.add_column("criterion", no_wrap=True)
    for number in shown:
        table.add_column(f"{first.share[number]:.0%}", justify="right", no_wrap=True)
    for name, curve in criteria.items():
        values = curve.metrics[rows][metric]
        table.add_row(name, *("" if values[number] is None else f"{values[number]:#.3g}" for number in shown))
    return table


def removal_titles(removal: RemovalReport) -> tuple[str, str]:
    """Columns for what is left of the weights in a round of a regime that removes them, and how well it predicts."""
    rows, metric = telling_metric(removal)
    return "weights\nleft", f"{rows}\n{WORDS.get(metric, metric)}"


def removal_cells(removal: RemovalReport) -> tuple[str, str]:
    """The values of those columns."""
    rows, metric = telling_metric(removal)
    return str(removal.left), f"{removal.metrics[rows][metric]:#.3g}"


def telling_metric(curve: RemovalCurve | RemovalReport) -> tuple[str, str]:
    """Test rows where there are any, and the first metric of the likelihood."""
    rows = "test" if curve.metrics["test"] else "train"
    return rows, next(iter(curve.metrics[rows]))


def spread(count: int, most: int) -> list[int]:
    """So many of the numbers below `count`, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def save_relevance_figure(summary: Summary, run: Path, rank: int, target: Path) -> None:
    """Draw the curves of one structure: a metric, the log likelihood and the bound by the share removed.

    Raises `CallError` where matplotlib is missing or the structure has no curves.
    """
    entry = next((each for each in summary.relevance if each.rank == rank), None)
    if entry is None:
        ranks = ", ".join(str(each.rank) for each in summary.relevance)
        got = f"it has those of rank {ranks}" if ranks else "it has none"
        raise CallError(
            f"the run in {run} has no curves of removed weights for the structure of rank {rank}: {got}; ask for them "
            "in the spec's section `relevance`, with `structures` for more than the best"
        )
    panels = curve_panels(entry.criteria)
    columns = min(len(panels), PANELS_IN_A_ROW)
    rows = -(-len(panels) // columns)
    figure = new_figure(4.2 * columns, 3.6 * rows)
    for place, (title, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        for number, (name, (shares, values)) in enumerate(curves.items()):
            known = [value if value is not None else float("nan") for value in values]
            axes.plot(shares, known, marker=".", label=name.replace("_", " "), color=f"C{number}")
        axes.set_xlabel("share of the weights removed")
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"{summary.run}: {structure_name(entry.structure)}")
    save_image(figure, target)


def curve_panels(criteria: Mapping[str, RemovalCurve]) -> dict[str, Panel]:
    """For every panel its curves by criterion, as shares and values; panels without a number are left out."""
    first = next(iter(criteria.values()))
    rows, metric = telling_metric(first)
    panels: dict[str, Panel] = {}
    for name in dict.fromkeys((metric, "log_likelihood")):
        panels[f"{rows} {WORDS.get(name, name)}"] = {
            criterion: (curve.share, curve.metrics[rows][name]) for criterion, curve in criteria.items()
        }
    panels["evidence bound, nats"] = {criterion: (curve.share, curve.bound) for criterion, curve in criteria.items()}
    for noise, what in (("input_noise", "inputs"), ("weight_noise", "weights")):
        for deviation in getattr(first, noise):
            panels[f"{rows} {WORDS.get(metric, metric)}, noise {deviation} on {what}"] = {
                criterion: (curve.share, getattr(curve, noise)[deviation][metric])
                for criterion, curve in criteria.items()
            }
    return {
        title: curves
        for title, curves in panels.items()
        if any(value is not None for _, values in curves.values() for value in values)
    }
