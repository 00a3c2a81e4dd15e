"""The table of what every estimator of log evidence says, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..results.marginals import choice_label
from ..results.models import RankingEntry, UnrankedStructure
from ..results.read import structure_name
from ..store.records import StructureJson
from .narrow import NumberTable
from .numbers import with_error


def estimates_table(
    ranking: Sequence[RankingEntry], most: int, unranked: Sequence[UnrankedStructure] = ()
) -> NumberTable:
    """Log evidence ± standard error of the first structures, a column for each estimator; the first one ranks.

    Below them so many of those that have no rank, with a dash in its place: then every row names its structure.
    """
    shown: list[RankingEntry | UnrankedStructure] = [*ranking[:most], *unranked[:most]]
    estimators = list(dict.fromkeys(name for entry in shown for name in entry.evidence))
    keys = ["rank", "structure"] if unranked else ["rank"]
    titles = [*keys, *(name.replace("(", "\n(").replace(", ", ",\n") for name in estimators)]
    differing = differing_choices([*(entry.structure for entry in ranking), *(entry.structure for entry in unranked)])
    rows = []
    for entry in shown:
        cells = (estimate_text(entry.evidence.get(name), entry.evidence_se.get(name, 0.0)) for name in estimators)
        about = [
            str(entry.rank) if isinstance(entry, RankingEntry) else "–",
            structure_name(entry.structure, differing, "\n"),
        ]
        rows.append([*about[: len(keys)], *cells])
    return NumberTable(titles, rows, names=len(keys))


def differing_choices(structures: Sequence[StructureJson]) -> list[str]:
    """Edges and nodes whose choices differ between structures, which tell them apart; all of them for a single one."""
    differing = [key for key in structures[0] if len({choice_label(key, each[key]) for each in structures}) > 1]
    return differing or list(structures[0])


def estimate_text(value: float | None, error: float | None) -> str:
    """An estimate with its error, where it has one; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if error == 0 else with_error(f"{value:.2f}", error)
