"""Complexity rises: from the simplest structure step by step, or along a falling path of a metaparameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import Problem
from ...plugins import Candidate, Decision, MemberRecord, Regime, RoundBound
from ...plugins.regime_rounds import best_first, every_restart, highest, of_round, parent_of
from .path import PathOptions, path_decision, path_problems, path_rounds

if TYPE_CHECKING:
    from ...spec.structures import Structure, StructureSpace


class GrowthOptions(PathOptions):
    """Keys of the regime `growth`."""

    start: float = Field(100.0, gt=0, description="Continuous: value that the path begins with.")
    end: float = Field(1.0, gt=0, description="Continuous: value that the path ends with, below `start`.")
    beam: int = Field(2, ge=1, le=10_000, description="Discrete: how many of the best structures are changed further.")
    tie: float = Field(
        0.2,
        ge=0,
        description="Discrete: of structures whose scores differ by at most this many nats the one with more weights "
        "comes first: a part that doesn't help by itself may make steps possible that do.",
    )
    tolerance: float = Field(
        0.1, ge=0, description="Discrete: nats by which a round must beat the best score to count as a rise."
    )
    patience: int = Field(2, ge=1, le=10_000, description="Discrete: rounds without a rise after which it stops.")
    max_rounds: int = Field(16, ge=1, le=1000, description="Discrete: rounds at most.")
    max_structures: int = Field(1000, ge=1, description="Discrete: structures trained at most.")


class Growth(Regime):
    """Starts with the simplest structure and trains the neighbours of the best ones.

    Restarts 0, 2, … inherit the weights of the best restart of the parent, which makes them good after few steps; the
    others start afresh, so that a poor mode of the parent isn't handed on to all that follows it.

    A neighbour differs in one choice: another function on an edge of `one`, a function more or less on an edge of
    `any`, the next smaller or larger shape of a node; a node that thereby comes into use gets the choices with the
    fewest weights that pass something on, or differs from them in one choice. Continuous: relaxed rounds with ever less
    regularisation, each from where the one before ended, then every structure that any of them rounded to.
    """

    type = "growth"
    Options = GrowthOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        return [] if spec.regime.form == "discrete" else path_problems(spec, space, rises=False)

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        if options.form == "continuous":
            return path_rounds(options, space, restarts)
        bounds = [RoundBound("grow-0", relaxed=False, most=restarts, exact=True)]
        before, most_before = 1, 1  # structures trained before a round: at least one a round, and at most
        limit = min(space.count, options.max_structures)
        while before < limit and len(bounds) < options.max_rounds:
            most = min(limit - before, min(options.beam, most_before) * space.most_neighbours)
            bounds.append(RoundBound(f"grow-{len(bounds)}", relaxed=False, most=most * restarts, exact=False))
            before, most_before = before + 1, most_before + most
        return bounds

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        if options.form == "continuous":
            return path_decision(options, restarts, round_index, records)
        if round_index == 0:
            return every_restart([space.simplest], restarts)
        if rounds_without_a_rise(records, round_index, options.tolerance) >= options.patience:
            return Decision([])
        trained = {record.candidate.structure for record in records}
        candidates: list[Candidate] = []
        for parent in in_order_of_growth(best_of_structures(records), space, options.tie)[: options.beam]:
            assert parent.candidate.structure is not None
            steps = sorted(space.neighbours(parent.candidate.structure), key=lambda structure: structure.canonical)
            for structure in steps:
                if structure not in trained and len(trained) < options.max_structures:
                    trained.add(structure)
                    origins = (parent_of(parent), None)
                    candidates += [
                        Candidate(structure, restart, parent=origins[restart % 2]) for restart in range(restarts)
                    ]
        return Decision(candidates)


def best_of_structures(records: Sequence[MemberRecord]) -> list[MemberRecord]:
    """The best restart of every structure, best structure first."""
    best: dict[Structure | None, MemberRecord] = {}
    for record in best_first(records):
        best.setdefault(record.candidate.structure, record)
    return list(best.values())


def in_order_of_growth(best: Sequence[MemberRecord], space: StructureSpace, tie: float) -> list[MemberRecord]:
    """Structures, best first, where those within `tie` nats of the best one left are ordered by weights, most first."""
    ordered: list[MemberRecord] = []
    left = list(best)
    while left:
        tied = [record for record in left if record.score >= left[0].score - tie]
        ordered += sorted(tied, key=lambda record: -weights_of(record, space))
        left = left[len(tied) :]
    return ordered


def weights_of(record: MemberRecord, space: StructureSpace) -> int:
    """Number of weights of a member's structure."""
    structure = record.candidate.structure
    return 0 if structure is None else space.n_weights(structure)


def rounds_without_a_rise(records: Sequence[MemberRecord], rounds: int, tolerance: float) -> int:
    """How many of the latest rounds, out of `rounds`, passed since one beat the best score by more than tolerance."""
    best, last_rise = -math.inf, 0
    for index in range(rounds):
        score = highest(of_round(records, index))
        if score > best + tolerance:
            best, last_rise = score, index
    return rounds - 1 - last_rise
