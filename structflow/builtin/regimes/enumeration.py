"""Every structure with its own posterior and hyperparameters, or the sequence of the slides: each repels the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...errors import Problem
from ...plugins import (
    Candidate,
    Decision,
    MemberRecord,
    Regime,
    RegimeOptions,
    RoundBound,
    Schedule,
)
from ...plugins.regime_rounds import discretise_bound, every_restart, of_round, place, relaxed_restarts
from ...spec.searched import searched_space, shape_choice_problems
from ...spec.structures import shown_count

if TYPE_CHECKING:
    from ...spec.structures import Structure, StructureSpace

MOST_VISITS = 32
"""Visits of the repulsive form by default, where the space has more structures."""


class EnumerationOptions(RegimeOptions):
    """Keys of the regime `enumeration`."""

    form: Literal["exhaustive", "repulsive"] = Field(
        "exhaustive",
        description="Train every structure, or find them one after another, each repelled from those before "
        "(`objective.c_comb` < 0).",
    )
    max_structures: int = Field(10_000, ge=1, description="Exhaustive: refuse a space with more structures than this.")
    visits: int | None = Field(
        None,
        ge=1,
        le=1000,
        description=f"Repulsive: rounds at most, by default one a structure but no more than {MOST_VISITS}.",
    )
    stop_at_repeat: bool = Field(True, description="Repulsive: stop when a structure is found again.")


class Enumeration(Regime):
    """Trains every structure from every restart, or those that a sequence of repelled relaxations finds.

    Repulsive: in each round the relaxed objective is repelled from the structures found so far, and the restart with
    the highest objective rounds to the next one. A last round trains each of them.
    """

    type = "enumeration"
    Options = EnumerationOptions

    @staticmethod
    def conflicts(spec: Any, space: StructureSpace) -> list[Problem]:
        if spec.regime.form == "repulsive":
            return shape_choice_problems(space, "the repulsive form") + repulsion_problems(spec)
        searched, most = searched_space(space, spec.regime), spec.regime.max_structures
        if searched.count <= most:
            return []
        bound = "" if searched.count_is_exact else "at most "
        message = (
            f"the spec allows {bound}{shown_count(searched.count)} structures, which exceeds max_structures {most:,}"
        )
        remedy = "take candidates away, raise regime.max_structures, or choose the regime evidence"
        return [Problem("regime.max_structures", message, remedy)]

    @staticmethod
    def rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
        if options.form == "exhaustive":
            return [RoundBound("enumerate", relaxed=False, most=space.count * restarts, exact=space.count_is_exact)]
        visits = options.visits or min(space.count, MOST_VISITS)
        certain = visits if not options.stop_at_repeat else min(visits, 1)
        return [
            *(
                RoundBound(f"repel-{index}", relaxed=True, most=restarts, exact=index < certain)
                for index in range(visits)
            ),
            discretise_bound(space, visits, restarts),
        ]

    @staticmethod
    def decide(
        options: Any, space: StructureSpace, restarts: int, round_index: int, records: Sequence[MemberRecord]
    ) -> Decision:
        if options.form == "exhaustive":
            return Decision([Candidate(structure, restart) for structure in space for restart in range(restarts)])
        found = [found_in(of_round(records, index)) for index in range(round_index)]
        distinct = list(dict.fromkeys(structure for structure in found if structure is not None))
        if round_index == len(Enumeration.rounds(options, space, restarts)) - 1:
            return every_restart(distinct, restarts)
        repeated = len(distinct) < len(found)
        if repeated and options.stop_at_repeat:
            return Decision([])
        return Decision(relaxed_restarts(restarts).candidates, against=tuple(distinct))


def found_in(records: Sequence[MemberRecord]) -> Structure | None:
    """What the member with the highest objective rounds to; None where the round was empty or all diverged."""
    rounded = [record for record in records if record.rounded is not None]
    if not rounded:
        return None
    return min(rounded, key=lambda record: (-record.objective, *place(record))).rounded


def repulsion_problems(spec: Any) -> list[Problem]:
    """A problem unless the objective repels from the structures found."""
    c_comb = spec.objective.c_comb
    largest = c_comb.extremes()[1] if isinstance(c_comb, Schedule) else c_comb
    if largest < 0:
        return []
    message = f"form repulsive needs objective.c_comb below 0; got {largest:g}"
    return [Problem("regime.form", message, "set objective.c_comb to -1 or so, or form to exhaustive")]
