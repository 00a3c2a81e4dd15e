"""What a regime is played with: spaces of structures, and made-up records of members that are the same every time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..plugins import BasisOptions, Candidate, Decision, MemberRecord, RoundBound, Shape
from ..spec.graph import Graph, GraphEdge
from ..spec.searched import searched_space
from ..spec.structures import StructureSpace
from .subject import Subject
from .tiny_model import Readout, candidate

Finish = Callable[[Candidate, int, StructureSpace], MemberRecord]
"""What training is made to find of a member of a round."""


def graph_of(
    first: Literal["one", "any", "all"], second: Literal["one", "any", "all"], hidden: Sequence[Shape] = ((2,),)
) -> Graph:
    """x → h by some of a, b, c, h → y by some of d, e, where h has one shape or chooses it.

    Names of shared weights make them different functions.
    """
    return Graph(
        ("x", "h", "y"),
        {"x": ((2,),), "h": tuple(hidden), "y": ((1,),)},
        (
            GraphEdge("x", "h", first, 0, tuple(candidate(name, Readout, BasisOptions(share=name)) for name in "abc")),
            GraphEdge("h", "y", second, 0, tuple(candidate(name, Readout, BasisOptions(share=name)) for name in "de")),
        ),
    )


GRAPHS = (graph_of("one", "any"), graph_of("any", "all"), graph_of("one", "one", ((2,), (3,), (5,))))
"""Ten structures of one and any, one of them without h; eight of subsets alone, eighteen with a choice of shapes."""


def number_from(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts, the same in every process."""
    return zlib.crc32(repr(parts).encode()) / 2**32


def finished(candidate: Candidate, round_index: int, space: StructureSpace) -> MemberRecord:
    """A member with a score of its own; relaxed ones have probabilities and what they round to."""
    score = -20 + 15 * number_from("score", shown(candidate), round_index)
    if candidate.structure is not None:
        return MemberRecord(candidate, round_index, score, score)
    left = space if candidate.open is None else space.restricted(candidate.open)
    probabilities: dict[str, dict[str, float]] = {}
    for edge in left.edges:
        values = {name: number_from(name, shown(candidate), round_index) for name in edge.names}
        total = sum(values.values()) if edge.space == "one" else 1.0
        probabilities[edge.key] = {name: value / total for name, value in values.items()}
    rounded = left.round([[probabilities[edge.key][name] for name in edge.names] for edge in left.edges])
    chosen = {
        edge.key: {name: probabilities[edge.key].get(name, 0.0) for name in edge.names}
        for edge in space.edges
        if edge.space != "all"
    }
    return MemberRecord(candidate, round_index, score, score - 1, space.canonical_form(rounded), chosen)


def diverged(candidate: Candidate, round_index: int, space: StructureSpace) -> MemberRecord:
    """A member that diverged: scores −∞, nothing rounded."""
    record = finished(candidate, round_index, space)
    return MemberRecord(candidate, round_index, -math.inf, -math.inf, None, record.probabilities)


def every_second_diverged(candidate: Candidate, round_index: int, space: StructureSpace) -> MemberRecord:
    """Members of odd restarts diverge."""
    return (diverged if candidate.restart % 2 else finished)(candidate, round_index, space)


FINISHES: tuple[tuple[str, Finish], ...] = (
    ("members that all train well", finished),
    ("every second member diverged", every_second_diverged),
    ("every member diverged", diverged),
)


def shown(candidate: Candidate) -> tuple[object, ...]:
    """What a made-up number depends on."""
    structure = None if candidate.structure is None else candidate.structure.canonical
    return structure, candidate.restart, None if candidate.open is None else candidate.open.canonical


@dataclass(frozen=True)
class Round:
    """One round of a regime that was played: its bound, what was known before it, and what was decided."""

    index: int
    bound: RoundBound
    records: tuple[MemberRecord, ...]
    decision: Decision


@dataclass(frozen=True)
class Game:
    """A regime on one graph with so many restarts."""

    subject: Subject
    graph: Graph
    restarts: int

    @property
    def space(self) -> StructureSpace:
        """The structures it may choose among."""
        return searched_space(self.graph.structure_space(), self.subject.options)

    def bounds(self) -> list[RoundBound]:
        """Its rounds."""
        found: list[RoundBound] = self.subject.plugin.rounds(self.subject.options, self.space, self.restarts)
        return found

    def decide(self, index: int, records: Sequence[MemberRecord]) -> Decision:
        """What it decides for a round."""
        options: Any = self.subject.options
        decision: Decision = self.subject.plugin.decide(options, self.space, self.restarts, index, records)
        return decision

    def play(self, finish: Finish) -> list[Round]:
        """All of its rounds, the members of each finished by `finish`."""
        records: list[MemberRecord] = []
        rounds = []
        for index, bound in enumerate(self.bounds()):
            decision = self.decide(index, list(records))
            rounds.append(Round(index, bound, tuple(records), decision))
            records += [finish(member, index, self.space) for member in decision.candidates]
        return rounds
