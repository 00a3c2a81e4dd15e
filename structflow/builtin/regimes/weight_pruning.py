"""Complexity falls by single weights: the least relevant ones are removed step by step, and the rest trained again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from ...errors import Problem
from ...plugins import Candidate, Decision, MemberRecord, Regime, RegimeOptions, Removal, RoundBound
from ...plugins.calling import conflicts_of
from ...plugins.regime_rounds import best_first, highest, of_round, parent_of, usable
from ...plugins.registry import registry

if TYPE_CHECKING:
    from ...spec.structures import Structure, StructureSpace


def _rising(shares: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
        raise ValueError("expected shares that rise; sort them and give each once")
    return shares


class WeightPruningOptions(RegimeOptions):
    """Keys of the regime `weight_pruning`."""

    criterion: str = Field("graves", description="Criterion of relevance, by its type: what it finds least goes first.")
    shares: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(_rising)] = Field(
        (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
        min_length=1,
        max_length=200,
        description="Shares of the weights that are removed after each round, rising.",
    )
    structures: int = Field(1, ge=1, le=10_000, description="How many of the best structures lose weights.")
    tolerance: float | None = Field(
        1.0, ge=0, description="Nats by which the score may fall below the best one before it stops; null: never."
    )


class WeightPruning(Regime):
    """Trains every structure, then removes the least relevant weights from the best ones, and trains these further.

    Every restart continues from where it was, without a growing share of its weights; the weights that are left are
    ordered again in every round. It stops when the best score falls by more than the tolerance. The ranking, and
    predictions with it, are of unpruned networks. Pruned ones have a table of their own, in which each structure is
    represented by the round with the highest score: which weights were removed was chosen from the data, so this score
    can't be compared with their evidence.
    LeCun, Denker and Solla, "Optimal brain damage" (1990).
    """

    type = "weight_pruning"
    Options = WeightPruningOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        """A criterion that isn't there, or that has nothing to go by."""
        known = registry().of_kind("relevances")
        name = spec.regime.criterion
        if name not in known:
            return [Problem("regime.criterion", f"there is no criterion {name!r}", f"use one of {', '.join(known)}")]
        required = [key for key, field in known[name].options.model_fields.items() if field.is_required()]
        if required:
            message = f"criterion {name} needs {', '.join(required)}, which a regime can't give"
            return [Problem("regime.criterion", message, "use one whose options have defaults")]
        return conflicts_of(known[name].plugin, spec)

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        pruned = min(options.structures, space.count) * restarts
        return [
            RoundBound("whole", relaxed=False, most=space.count * restarts, exact=space.count_is_exact),
            *(RoundBound(f"without-{share:g}", relaxed=False, most=pruned, exact=False) for share in options.shares),
        ]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        if round_index == 0:
            nothing = Removal(options.criterion, 0.0)
            return Decision(
                [Candidate(structure, restart, removed=nothing) for structure in space for restart in range(restarts)]
            )
        before = of_round(records, round_index - 1)
        if not usable(before) or fell(records, round_index - 1, options.tolerance):
            return Decision([])
        removal = Removal(options.criterion, options.shares[round_index - 1])
        best: list[Structure | None] = list(dict.fromkeys(record.candidate.structure for record in best_first(before)))
        kept = best[: options.structures]
        ordered = sorted(usable(before), key=lambda record: (kept_place(record, kept), record.candidate.restart))
        return Decision(
            [
                replace(record.candidate, parent=parent_of(record), removed=removal)
                for record in ordered
                if record.candidate.structure in kept
            ]
        )


def kept_place(record: MemberRecord, kept: Sequence[Structure | None]) -> int:
    """Where a member's structure stands among those that are kept; behind them if it isn't."""
    structure = record.candidate.structure
    return kept.index(structure) if structure in kept else len(kept)


def fell(records: Sequence[MemberRecord], round_index: int, tolerance: float | None) -> bool:
    """Whether a round's best score is more than `tolerance` below the best of any round before it."""
    if tolerance is None:
        return False
    earlier = max((highest(of_round(records, index)) for index in range(round_index)), default=-math.inf)
    return highest(of_round(records, round_index)) < earlier - tolerance
