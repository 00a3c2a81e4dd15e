"""The relaxed problem: one posterior over weights and structure together, then the structures it rounds to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import Problem
from ...plugins import Candidate, MemberRecord, Regime, RoundBound

if TYPE_CHECKING:
    from ...spec.structures import StructureSpace


class EvidenceRegime(Regime):
    """Maximises the evidence bound over q(w, Γ) from every restart, then trains each distinct rounded structure."""

    type = "evidence"

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        return [
            Problem(
                f"model.nodes.{node}.shape.choose",
                f"regime evidence relaxes the choice of functions, but {node} chooses among {len(options)} shapes",
                "give the node one shape or set regime to enumeration",
            )
            for node, options in space.shapes
        ]

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        distinct = min(restarts, space.count)
        return [
            RoundBound("relax", relaxed=True, most=restarts, exact=True),
            RoundBound("discretise", relaxed=False, most=distinct * restarts, exact=distinct == 1),
        ]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> list[Candidate]:
        if round_index == 0:
            return [Candidate(None, restart) for restart in range(restarts)]
        rounded = {record.rounded for record in records if record.rounded is not None}
        ordered = sorted(rounded, key=lambda structure: structure.canonical)
        return [Candidate(structure, restart) for structure in ordered for restart in range(restarts)]
