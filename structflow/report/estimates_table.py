"""The table of what every estimator of log evidence says, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .narrow import NumberTable


def estimates_table(ranking: Sequence[dict[str, Any]], most: int) -> NumberTable:
    """Log evidence ± standard error of the first structures, a column for each estimator; the first one ranks."""
    names = list(ranking[0]["evidence"])
    titles = ["rank", *(name.replace("(", "\n(").replace(", ", ",\n") for name in names)]
    rows = []
    for entry in ranking[:most]:
        errors = entry.get("evidence_se", {})  # runs of earlier versions have none
        rows.append([str(entry["rank"]), *(estimate_text(entry["evidence"][name], errors.get(name)) for name in names)])
    return NumberTable(titles, rows)


def estimate_text(value: float | None, error: float | None) -> str:
    """An estimate with its error, where it has one; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" + (f" ± {error:.2f}" if error else "")
