"""The table of what every estimator of log evidence says, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def estimates_table(ranking: Sequence[dict[str, Any]], most: int) -> Table:
    """Log evidence ± standard error of the first structures, a column for each estimator; the first one ranks."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("rank", justify="right")
    for name in ranking[0]["evidence"]:
        table.add_column(name.replace("(", "\n(").replace(", ", ",\n"), justify="right", no_wrap=True)
    for entry in ranking[:most]:
        errors = entry.get("evidence_se", {})  # runs of earlier versions have none
        cells = (estimate_text(value, errors.get(name)) for name, value in entry["evidence"].items())
        table.add_row(str(entry["rank"]), *cells)
    return table


def estimate_text(value: float | None, error: float | None) -> str:
    """An estimate with its error, where it has one; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" + (f" ± {error:.2f}" if error else "")
