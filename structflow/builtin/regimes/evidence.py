"""The relaxed problem: one posterior over weights and structure together, then the structures it rounds to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import Problem
from ...plugins import Decision, MemberRecord, Regime, RoundBound
from ...plugins.regime_rounds import discretise_bound, distinct_rounded, every_restart, relaxed_restarts
from ...spec.searched import shape_choice_problems

if TYPE_CHECKING:
    from ...spec.structures import StructureSpace


class EvidenceRegime(Regime):
    """Maximises the evidence bound over q(w, Γ) from every restart, then trains each distinct rounded structure."""

    type = "evidence"

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        return shape_choice_problems(space, "regime evidence")

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        discretise = discretise_bound(space, restarts, restarts)
        return [
            RoundBound("relax", relaxed=True, most=restarts, exact=True),
            replace(discretise, exact=discretise.most == restarts),
        ]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        if round_index == 0:
            return relaxed_restarts(restarts)
        return every_restart(distinct_rounded(records), restarts)
