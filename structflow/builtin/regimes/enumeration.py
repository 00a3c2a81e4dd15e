"""Every structure, each with its own posterior and hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import Problem
from ...plugins import Candidate, MemberRecord, Options, Regime, RoundBound
from ...spec.structures import shown_count

if TYPE_CHECKING:
    from ...spec.structures import StructureSpace


class EnumerationOptions(Options):
    """Keys of the regime `enumeration`."""

    max_structures: int = Field(10_000, ge=1, description="Refuse a space with more structures than this.")


class Enumeration(Regime):
    """Trains every structure from every restart in one round."""

    type = "enumeration"
    Options = EnumerationOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        most = spec.regime.max_structures
        if space.count <= most:
            return []
        return [
            Problem(
                "regime.max_structures",
                f"the spec allows {shown_count(space.count)} structures, which exceeds max_structures {most:,}",
                "take candidates away, raise regime.max_structures, or choose the regime evidence",
            )
        ]

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        return [RoundBound("enumerate", relaxed=False, most=space.count * restarts, exact=True)]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> list[Candidate]:
        return [Candidate(structure, restart) for structure in space for restart in range(restarts)]
