"""Structures that were trained and have no place in the ranking, and what is reported about them before it."""

from __future__ import annotations

from collections.abc import Sequence

from ..runner.select import canonical, whole_networks
from ..store.records import Evaluation, SelectRecord
from .models import FailedMembers, RankingEntry, UnrankedStructure
from .read import structure_name

MOST_NAMED = 3
"""Structures that are named for one reason."""

NOT_FINITE = "its estimate isn't a finite number"


def unranked_structures(
    selection: SelectRecord,
    evaluated: Sequence[Evaluation],
    failures: Sequence[FailedMembers],
    ranking: Sequence[RankingEntry],
    by_estimate: bool,
) -> list[UnrankedStructure]:
    """An entry for every structure that has no rank, in canonical order, with the `reason`.

    `estimator` is the one that ranks if it has no value, else None; `evidence` and `evidence_se` hold
    the values of the others. `selection` are all structures that were trained, `evaluated` what was found of them,
    `failures` the members that failed; `by_estimate` says that an estimate of log evidence ranks.
    """
    ranked = {canonical(entry.structure) for entry in ranking}
    found = {canonical(member.structure): member for member in evaluated if member.structure is not None}
    errors = {canonical(each.structure): each for each in failures if each.structure is not None}
    entries = []
    for item in whole_networks(selection):
        structure = item.structure or {}
        key = canonical(structure)
        if key in ranked:
            continue
        member = found.get(key)
        estimator = None
        if member is not None and by_estimate:
            estimator = next(iter(member.evidence), None)
            reason = member.evidence_missing.get(estimator or "", NOT_FINITE)
        elif member is not None:
            reason = "its score isn't a finite number"
        elif key in errors:
            reason = f"its {errors[key].during} failed: {errors[key].error}"
        else:
            reason = "all its restarts diverged"
        entries.append(
            UnrankedStructure(
                structure=structure,
                reason=reason,
                estimator=estimator,
                restarts=len(item.scores),
                evidence={} if member is None else member.evidence,
                evidence_se={} if member is None else member.evidence_se,
            )
        )
    return sorted(entries, key=lambda entry: canonical(entry.structure))


def unranked_warning(unranked: Sequence[UnrankedStructure], ranking: Sequence[RankingEntry]) -> str | None:
    """What is said before the ranking: how many structures have no rank, which, why, and what to do; None if all do."""
    if not unranked:
        return None
    total = len(unranked) + len(ranking)
    count = "no structure has a rank" if not ranking else f"{len(unranked)} of {total} structures have no rank"
    reasons = dict.fromkeys((entry.estimator, entry.reason) for entry in unranked)
    parts = []
    for estimator, reason in reasons:
        same = [entry for entry in unranked if (entry.estimator, entry.reason) == (estimator, reason)]
        names = " | ".join(structure_name(entry.structure) for entry in same[:MOST_NAMED])
        more = f" and {len(same) - MOST_NAMED:,} more of {len(same):,}" if len(same) > MOST_NAMED else ""
        why = f"{estimator} has no value ({reason})" if estimator else reason
        parts.append(f"{names}{more}: {why}")
    best = (
        "" if not ranking else f"; the best may be among them, and probabilities count the other {len(ranking)} alone"
    )
    return f"{count}{best}. {'. '.join(parts)}{remedy(unranked, ranking)}"


def remedy(unranked: Sequence[UnrankedStructure], ranking: Sequence[RankingEntry]) -> str:
    """What to do where the estimator that ranks has no value: list one first that has a value for every structure."""
    lacking = [entry for entry in unranked if entry.estimator]
    if not lacking:
        return ""
    entries: list[UnrankedStructure | RankingEntry] = [*lacking, *ranking]
    others = [
        name
        for name in lacking[0].evidence
        if name != lacking[0].estimator and all(entry.evidence.get(name) is not None for entry in entries)
    ]
    if others:
        return (
            f". To rank all of them, list {' or '.join(others)} first in evidence.estimators: nothing is trained again"
        )
    return ". To rank all of them, list first in evidence.estimators one that has a value for all, such as elbo"
