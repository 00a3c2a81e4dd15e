"""Complexity falls: improbable functions are dropped step by step, or along a rising path of a metaparameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import Problem
from ...plugins import Candidate, Decision, MemberRecord, Regime, RoundBound
from ...plugins.regime_rounds import (
    best_first,
    discretise_bound,
    distinct_rounded,
    every_restart,
    highest,
    of_round,
    parent_of,
    relaxed_restarts,
    usable,
)
from ...spec.searched import shape_choice_problems
from ...spec.structures import EdgeChoice, OpenSet
from .path import PathOptions, path_decision, path_problems, path_rounds

if TYPE_CHECKING:
    from ...spec.structures import StructureSpace


class PruningOptions(PathOptions):
    """Keys of the regime `pruning`."""

    start: float = Field(1.0, gt=0, description="Continuous: value that the path begins with.")
    end: float = Field(100.0, gt=0, description="Continuous: value that the path ends with, above `start`.")
    threshold: float = Field(
        0.05, ge=0, le=1, description="Discrete: functions with a smaller probability of being chosen are dropped."
    )
    tolerance: float = Field(
        1.0, ge=0, description="Discrete: nats by which the score may fall below the best one before it stops."
    )
    max_rounds: int = Field(16, ge=1, le=1000, description="Discrete: relaxed rounds at most.")
    finalists: int = Field(
        8,
        ge=0,
        le=10_000,
        description="Discrete: train all structures that are left open if they are no more than this.",
    )


class Pruning(Regime):
    """Relaxes the choice of functions, drops the improbable ones, and goes on with the rest from where it stood.

    At least one function is dropped a round, never the last of an edge that chooses one; it stops when the score
    falls or nothing is left to drop. A last round trains every structure that any restart of any round rounded to,
    and the few that are left open. Continuous: relaxed rounds with ever more regularisation instead.
    """

    type = "pruning"
    Options = PruningOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        if spec.regime.form == "continuous":
            return path_problems(spec, space, rises=True)
        return shape_choice_problems(space, "regime pruning")

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        if options.form == "continuous":
            return path_rounds(options, space, restarts)
        rounds = min(options.max_rounds, 1 + sum(edge.most_to_close for edge in space.edges))
        return [
            *(RoundBound(f"prune-{index}", True, restarts, exact=index == 0) for index in range(rounds)),
            discretise_bound(space, rounds * restarts, restarts, options.finalists),
        ]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        if options.form == "continuous":
            return path_decision(options, restarts, round_index, records)
        if round_index == 0:
            return relaxed_restarts(restarts)
        if round_index == len(Pruning.rounds(options, space, restarts)) - 1:
            return discretise(options, space, restarts, records)
        before = of_round(records, round_index - 1)
        if not usable(before) or fell(records, round_index - 1, options.tolerance):
            return Decision([])
        best = best_first(before)[0]
        left = smaller_open_set(space, best, options.threshold)
        if left is None:
            return Decision([])
        parents = {record.candidate.restart: parent_of(record) for record in usable(before)}
        return Decision(
            [Candidate(None, restart, left, parents.get(restart, parent_of(best))) for restart in range(restarts)]
        )


def discretise(options: Any, space: StructureSpace, restarts: int, records: Sequence[MemberRecord]) -> Decision:
    """All that was rounded to, and all structures of the last open set whose score held if they are few."""
    structures = distinct_rounded(records)
    held = [
        record
        for record in usable(records)
        if record.candidate.structure is None and not fell(records, record.round, options.tolerance)
    ]
    if held:
        last = max(held, key=lambda record: record.round)
        left = space if last.candidate.open is None else space.restricted(last.candidate.open)
        if left.count <= options.finalists:
            structures |= {space.canonical_form(structure) for structure in left}
    return every_restart(structures, restarts)


def fell(records: Sequence[MemberRecord], round_index: int, tolerance: float) -> bool:
    """Whether a round's best score is more than `tolerance` below the best of any round before it."""
    earlier = max((highest(of_round(records, index)) for index in range(round_index)), default=-math.inf)
    return highest(of_round(records, round_index)) < earlier - tolerance


@dataclass(frozen=True)
class OpenFunction:
    """A function that may be dropped: its probability, and the edge it is on."""

    probability: float
    edge: str
    name: str

    @property
    def rank(self) -> tuple[float, str, str]:
        """Least probable first, equal ones by name."""
        return self.probability, self.edge, self.name


def smaller_open_set(space: StructureSpace, best: MemberRecord, threshold: float) -> OpenSet | None:
    """The open set of a member without its improbable functions, one at least; None where nothing can be dropped."""
    left = space if best.candidate.open is None else space.restricted(best.candidate.open)
    assert best.probabilities is not None
    order = sorted(droppable(left, best.probabilities), key=lambda function: function.rank)
    room = {edge.key: edge.most_to_close for edge in left.edges}
    dropped: set[tuple[str, str]] = set()
    for function in order:
        if room[function.edge] > 0 and (function.probability < threshold or not dropped):
            room[function.edge] -= 1
            dropped.add((function.edge, function.name))
    if not dropped:
        return None
    return OpenSet(
        tuple((edge.key, tuple(n for n in edge.names if (edge.key, n) not in dropped)) for edge in left.edges)
    )


def droppable(space: StructureSpace, probabilities: Mapping[str, Mapping[str, float]]) -> Iterator[OpenFunction]:
    """The open functions of the edges that can do with fewer of them."""
    for edge in space.edges:
        if edge.most_to_close > 0:
            yield from functions_of(edge, probabilities[edge.key])


def functions_of(edge: EdgeChoice, probabilities: Mapping[str, float]) -> list[OpenFunction]:
    """The open functions of one edge with their probabilities."""
    return [OpenFunction(probabilities[name], edge.key, name) for name in edge.names]
