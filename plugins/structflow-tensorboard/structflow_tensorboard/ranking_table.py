"""The final ranking as a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from structflow.results.read import structure_name

MOST_ROWS = 100


def ranking_table(ranking: Sequence[Mapping[str, Any]], criterion: str) -> str:
    """A row for each of the first structures: score by the criterion, probability, restarts that agree, metrics."""
    if not ranking:
        return "all members diverged"
    rows_of = {rows: tuple(values) for rows, values in ranking[0]["metrics"].items() if values}
    metrics = [(rows, name) for rows, names in rows_of.items() for name in names]
    head = ["rank", "structure", criterion, "standard error", "probability", "agreement"]
    head += [f"{rows} {name}" for rows, name in metrics]
    lines = [line(head), line(["---"] * len(head))]
    for entry in ranking[:MOST_ROWS]:
        nats = [number(entry[key], ".2f") for key in ("score", "score_se")]
        shares = [number(entry[key], ".3f") for key in ("probability", "restart_agreement")]
        found = [number(entry["metrics"][rows][name], ".4g") for rows, name in metrics]
        lines.append(line([str(entry["rank"]), f"`{structure_name(entry['structure'])}`", *nats, *shares, *found]))
    if len(ranking) > MOST_ROWS:
        lines += ["", f"… and {len(ranking) - MOST_ROWS:,} more"]
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """One row of the table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def number(value: float | None, form: str) -> str:
    """A number in some form; a dash for what isn't known."""
    return "–" if value is None else format(value, form)
