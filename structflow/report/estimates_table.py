"""The table of what every estimator of log evidence says, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .narrow import NumberTable
from .numbers import with_error


def estimates_table(
    ranking: Sequence[dict[str, Any]], most: int, unranked: Sequence[dict[str, Any]] = ()
) -> NumberTable:
    """Log evidence ± standard error of the first structures, a column for each estimator; the first one ranks.

    Below them so many of those that have no rank, with a dash in its place.
    """
    shown = [*ranking[:most], *unranked[:most]]
    names = list(dict.fromkeys(name for entry in shown for name in entry["evidence"]))
    titles = ["rank", *(name.replace("(", "\n(").replace(", ", ",\n") for name in names)]
    rows = []
    for entry in shown:
        errors = entry.get("evidence_se", {})  # runs of earlier versions have none
        cells = (estimate_text(entry["evidence"].get(name), errors.get(name, 0.0)) for name in names)
        rows.append([str(entry.get("rank", "–")), *cells])
    return NumberTable(titles, rows)


def estimate_text(value: float | None, error: float | None) -> str:
    """An estimate with its error, where it has one; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if error == 0 else with_error(f"{value:.2f}", error)
