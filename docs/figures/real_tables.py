"""E7: regret of the structure that the evidence picks, and of cross-validation's, on every table: real_tables.png.

    python docs/experiments/real_tables
    python docs/figures/real_tables.py [RESULTS] [IMAGE]

The first command makes the results, by default runs/real-tables.jsonl, which the second one draws.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from real_tables.records import read_records
from real_tables.report import TableResult, table_results

HERE = Path(__file__).parent
RESULTS = Path("runs/real-tables.jsonl")
BAR = 0.02
"""Nats a row: the project's bar for the median over tables."""


def draw(results: Sequence[TableResult], path: Path) -> None:
    """One row a table: mean regrets with a standard error on either side, and the mean of all structures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.5 * len(results) + 1.4), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(results)))
    for label, values, shift, color, marker in (
        ("picked by evidence", [each.evidence for each in results], -0.14, "#4477aa", "o"),
        ("picked by cross-validation", [each.cross_validation for each in results], 0.14, "#ee6677", "s"),
    ):
        axes.errorbar(
            [mean.value for mean in values],
            [place + shift for place in places],
            xerr=[mean.error for mean in values],
            fmt=marker,
            color=color,
            markersize=5,
            label=label,
        )
    axes.plot([each.random.value for each in results], places, "|", color="0.4", markersize=14, label="all structures")
    axes.axvline(BAR, color="0.6", linestyle=":", label=f"{BAR} nats a row")
    axes.set_yticks(places, [each.name for each in results])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("regret on the test rows, nats a row")
    axes.set_title(f"Mean over {results[0].splits} splits and its standard error", loc="left")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Draw the results."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "real_tables.png"
    records = read_records(source)
    if not records:
        sys.exit(f"{source} holds no results: make them with python docs/experiments/real_tables --results {source}")
    draw(table_results(records), target)


if __name__ == "__main__":
    main()
