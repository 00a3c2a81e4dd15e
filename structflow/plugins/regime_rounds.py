"""What several regimes do in their rounds, for authors of regimes too: pure functions of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .regime import Candidate, Decision, MemberRecord, Parent, RoundBound

if TYPE_CHECKING:
    from ..spec.structures import Structure, StructureSpace

DISCRETISE = "discretise"
"""Name of the last round of regimes that relax: it trains structures that relaxed members rounded to."""


def of_round(records: Iterable[MemberRecord], round_index: int) -> list[MemberRecord]:
    """The records of one round."""
    return [record for record in records if record.round == round_index]


def usable(records: Iterable[MemberRecord]) -> list[MemberRecord]:
    """The records of members that didn't diverge."""
    return [record for record in records if math.isfinite(record.score)]


def best_first(records: Iterable[MemberRecord]) -> list[MemberRecord]:
    """Members that didn't diverge from the highest score to the lowest; equal ones by structure, then restart."""
    return sorted(usable(records), key=lambda record: (-record.score, *place(record)))


def place(record: MemberRecord) -> tuple[str, int]:
    """What breaks ties between members: canonical structure (nothing if relaxed) and restart."""
    structure = record.candidate.structure
    return ("" if structure is None else structure.canonical, record.candidate.restart)


def parent_of(record: MemberRecord) -> Parent:
    """A finished member as the parent of another."""
    candidate = record.candidate
    return Parent(record.round, candidate.structure, candidate.open, candidate.restart)


def distinct_rounded(records: Iterable[MemberRecord]) -> set[Structure]:
    """The structures that relaxed members rounded to."""
    return {record.rounded for record in records if record.rounded is not None}


def every_restart(structures: Iterable[Structure], restarts: int) -> Decision:
    """Structures in canonical order, each from every restart with a fresh start."""
    ordered = sorted(structures, key=lambda structure: structure.canonical)
    return Decision([Candidate(structure, restart) for structure in ordered for restart in range(restarts)])


def relaxed_restarts(restarts: int) -> Decision:
    """The relaxation over everything from every restart."""
    return Decision([Candidate(None, restart) for restart in range(restarts)])


def discretise_bound(space: StructureSpace, relaxed_members: int, restarts: int, more: int = 0) -> RoundBound:
    """The bound of the round that trains what so many relaxed members rounded to, and `more` structures beside."""
    distinct = min(relaxed_members + more, space.count)
    return RoundBound(DISCRETISE, relaxed=False, most=distinct * restarts, exact=False)


def highest(records: Sequence[MemberRecord]) -> float:
    """The best score, −∞ where every member diverged."""
    return max((record.score for record in usable(records)), default=-math.inf)
