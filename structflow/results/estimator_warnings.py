"""Warnings about estimates of log evidence: members that have none, and estimators that prefer different structures."""

from __future__ import annotations

from collections.abc import Sequence

from ..store.records import Evaluation, StructureJson
from .models import RankingEntry
from .ranking import error_of_gap
from .read import structure_name
from .unranked import MOST_NAMED, NOT_FINITE


def missing_estimates(members: Sequence[Evaluation], by_estimate: bool = True) -> list[str]:
    """One warning for every estimator that has no value for some structures, with the reasons.

    Not for the one that ranks, where an estimate does (`by_estimate`): structures without a rank are reported before
    the ranking. Nor for what was reported as a failure of an estimator's code.
    """
    names = dict.fromkeys(name for member in members for name in member.evidence)
    found = []
    for name in list(names)[1 if by_estimate else 0 :]:
        without = [
            (member.structure or {}, member.evidence_missing.get(name, NOT_FINITE))
            for member in members
            if member.evidence.get(name, 0.0) is None and name not in member.evidence_raised
        ]
        if without:
            found.append(f"{name} has no value for {len(without)} structure(s); {by_reason(without)}")
    return found


def unsure_estimates(entries: Sequence[RankingEntry]) -> list[str]:
    """One warning for every estimator, or criterion, whose standard error isn't known for some structures, and why."""
    names = dict.fromkeys(name for entry in entries for name in entry.evidence_unsure)
    found = []
    for name in names:
        without = [(entry.structure, entry.evidence_unsure[name]) for entry in entries if name in entry.evidence_unsure]
        if without:
            found.append(
                f"{name} has no standard error for {len(without)} structure(s), so that no tie or disagreement is "
                f"decided by it; {by_reason(without)}"
            )
    return found


def by_reason(structures: Sequence[tuple[StructureJson, str]]) -> str:
    """Structures under their reasons: some names each."""
    parts = []
    for reason in dict.fromkeys(reason for _, reason in structures):
        names = [structure_name(structure) for structure, why in structures if why == reason]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        parts.append(f"{' | '.join(names[:MOST_NAMED])}{more}: {reason}")
    return "; ".join(parts)


def disagreements(entries: Sequence[RankingEntry]) -> list[str]:
    """A warning for every estimator whose best structure isn't that of the first one, where both are sure of it.

    Each must put its own best above the other's by more than two standard errors of the gap. Structures count with
    their prior, as in the ranking.
    """
    names = list(entries[0].evidence) if entries else []
    best = {name: best_of(entries, name) for name in names}
    found = []
    for name in names[1:]:
        mine, theirs = best[names[0]], best[name]
        if mine is None or theirs is None or mine == theirs:
            continue
        gaps = clear_gap(entries[mine], entries[theirs], names[0]), clear_gap(entries[theirs], entries[mine], name)
        if None in gaps:
            continue
        one, other = entries[mine].structure, entries[theirs].structure
        keys = [key for key in one if one[key] != other[key]]
        first, second = structure_name(one, keys), structure_name(other, keys)
        found.append(
            f"estimators disagree on the best structure: {names[0]} says {first}, by {gaps[0]:.2f} nats; "
            f"{name} says {second}, by {gaps[1]:.2f}"
        )
    return found


def best_of(entries: Sequence[RankingEntry], name: str) -> int | None:
    """The number of the entry with the highest estimate + log prior; None where there is no estimate."""
    scores = {
        number: estimate + entry.log_prior
        for number, entry in enumerate(entries)
        if (estimate := entry.evidence[name]) is not None
    }
    return max(scores, key=lambda number: scores[number]) if scores else None


def clear_gap(best: RankingEntry, other: RankingEntry, name: str) -> float | None:
    """By how much an estimator prefers one entry to another; None where that isn't beyond two standard errors.

    Nor is it where an error isn't known.
    """
    one, two = best.evidence[name], other.evidence[name]
    error = error_of_gap(best.evidence_se[name], other.evidence_se[name])
    if one is None or two is None or error is None:
        return None
    gap = one + best.log_prior - two - other.log_prior
    return gap if gap > 2 * error else None
