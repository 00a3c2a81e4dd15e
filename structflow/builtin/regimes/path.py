"""The continuous forms of growth and pruning: relaxed rounds along a path of one metaparameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...errors import Problem
from ...plugins import Candidate, Decision, MemberRecord, RegimeOptions, RoundBound
from ...plugins.regime_rounds import discretise_bound, distinct_rounded, every_restart, of_round, parent_of, usable
from ...spec.searched import shape_choice_problems

if TYPE_CHECKING:
    from ...spec.structures import StructureSpace


class PathOptions(RegimeOptions):
    """Keys of the continuous form; a regime adds `start` and `end`."""

    form: Literal["discrete", "continuous"] = Field(
        "discrete", description="Whole basis functions step by step, or relaxed rounds along a path of `along`."
    )
    along: Literal["c_reg", "c_prior"] = Field(
        "c_reg",
        description="Continuous: the metaparameter of the path. c_reg moves c_prior with it, so that one level still "
        "applies; c_prior alone needs two levels.",
    )
    points: int = Field(
        5, ge=1, le=1000, description="Continuous: rounds on the path, equally spaced in its logarithm."
    )


def path_values(options: Any) -> list[float]:
    """The value of each round, start · (end / start)^(i / (points − 1))."""
    last = max(1, options.points - 1)
    return [options.start * (options.end / options.start) ** (index / last) for index in range(options.points)]


def path_rounds(options: Any, space: StructureSpace, restarts: int) -> list[RoundBound]:
    """One relaxed round a point, then the structures that they rounded to."""
    moved = ("c_reg", "c_prior") if options.along == "c_reg" else ("c_prior",)
    return [
        *(
            RoundBound(f"path-{index}", True, restarts, True, dict.fromkeys(moved, value))
            for index, value in enumerate(path_values(options))
        ),
        discretise_bound(space, options.points * restarts, restarts),
    ]


def path_decision(options: Any, restarts: int, round_index: int, records: Sequence[MemberRecord]) -> Decision:
    """Every restart from where it ended in the round before (afresh if it diverged); at last all that was found."""
    if round_index == options.points:
        return every_restart(distinct_rounded(records), restarts)
    before = {record.candidate.restart: parent_of(record) for record in usable(of_round(records, round_index - 1))}
    return Decision([Candidate(None, restart, parent=before.get(restart)) for restart in range(restarts)])


def path_problems(spec: Any, space: StructureSpace, rises: bool) -> list[Problem]:
    """What the continuous form can't work with: choices of shapes, a path the wrong way, one level along c_prior."""
    options = spec.regime
    problems = shape_choice_problems(space, f"the continuous form of {options.type}")
    if options.points > 1 and (options.end > options.start) != rises:
        way = "rises" if rises else "falls"
        message = f"got {options.start:g} to {options.end:g}, but the path of {options.type} {way}"
        problems.append(Problem("regime.start", message, "swap regime.start and regime.end"))
    if options.along == "c_prior" and spec.optimizer.outer.type == "one_level":
        message = "along c_prior moves it away from c_train · c_reg, which optimizer.outer.type one_level can't follow"
        remedy = "set optimizer.outer to a hypergradient with two levels, or regime.along to c_reg"
        problems.append(Problem("regime.along", message, remedy))
    if options.along == "c_reg" and spec.objective.c_train != 1:
        message = "along c_reg sets c_prior to the same value, which is one level only if objective.c_train is 1"
        problems.append(Problem("regime.along", message, "leave objective.c_train at 1"))
    return problems
