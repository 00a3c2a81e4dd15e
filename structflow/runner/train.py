"""Training some members through one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from ..objective.bound import Bound
from ..objective.inherit import Trained, inherit
from ..objective.kept_weights import KeptWeights
from ..objective.members import Own, stack, unstack
from ..objective.parameters import Parameters
from ..plan.batching import Batch
from ..plan.tasks import Task
from ..plugins import Candidate, Schedule, metaparameter_at
from ..plugins.registry import registry
from ..spec.criterion_calls import criterion_of, level_factors
from ..spec.models import Spec
from ..store.records import Convergence
from ..train.checkpoints import Checkpoints
from ..train.inner_method import method_of
from ..train.linear_fits import end_at_posterior, start_at_posterior
from ..train.linear_structures import Level
from ..train.metaparameters import metaparameter_tables
from ..train.outer_level import OuterLevel
from ..train.stage_inputs import Minibatching, StageSetup
from ..train.trainer import TrainingResult, train
from .context import RunContext
from .parents import parents_of
from .populations import PARAMETER
from .removed import without_removed

LARGEST_LOG_CONCENTRATION = 6.0
"""Default bound on |log s| where c_comb is negative."""


@dataclass(frozen=True)
class MemberValues:
    """A member after a stage: its arrays, at which step it diverged (−1: never), and how far it converged.

    Arrays are `parameter/<name>`; `trajectory/steps` (P,) and its terms `trajectory/<name>` (P,); with two levels
    `outer/step` (T,) and what was reported of each hypergradient, `outer/<name>` (T,).
    """

    arrays: Mapping[str, np.ndarray]
    diverged_at: int
    convergence: Convergence


def trained_here(
    context: RunContext,
    task: Task,
    batch: Batch,
    before: Mapping[Candidate, tuple[Own, int]],
    on_step: Callable[[int], None] | None,
    checkpoints: Checkpoints | None,
) -> dict[Candidate, MemberValues]:
    """Train a batch through the stage of a task.

    `before` has the parameters that the stage before left of its members, and when they diverged; nothing in the first
    stage, where members start from their parents or anew.
    """
    stages, members = context.round_stages(task.setting, task.round), batch.members
    spec, execution = stages[task.stage], context.execution
    against = context.against(task.setting, task.round)
    bound = context.bound(context.population(batch, spec), spec, against=against, stage=task.stage, stages=len(stages))
    x, y = context.rows(members, spec)
    outer = outer_level(spec, members)
    folds = context.fold_weights(members, spec)
    learned = None if folds is None else folds.learned
    level = Level(x, y, row_weights=learned, row_weight=context.study.dataset.row_weight)
    ends = ends_of_stage(spec, task.stage, len(stages))
    of_one_level = outer is None or outer.method.of_curvature  # h and θ have a maximum in common
    first, last = (replace(level, c_reg=c_reg, c_train=c_train if of_one_level else None) for c_reg, c_train in ends)
    parameters = start_at_posterior(bound, inherited(context, task, bound, fresh_start(context, task, bound)), first)
    parameters = without_removed(context, task, bound, parameters)
    diverged = np.full(len(members), -1)
    if task.stage > 0:
        parameters = stack([before[member][0] for member in members], bound, parameters)
        diverged = np.array([before[member][1] for member in members])
    round_name = context.plan.settings[task.setting].rounds[task.round].name
    name, batch_size = f"{round_name}/{task.stage}", spec.optimizer.inner.batch_size
    with context.training_data(members, spec, name, batch_size) as data:
        setup = StageSetup(
            context.keys(members, task.setting, task.round, task.stage),
            data,
            metaparameter_tables(spec, task.stage, len(stages), execution.dtype, execution.device),
            spec.optimizer.inner.samples,
            Minibatching(batch_size, spec.seed, name),
            execution,
            largest_log_concentration(spec),
        )
        inner = method_of(spec)
        result = train(bound, parameters, setup, inner, outer, on_step, checkpoints)
        if data.stream is None:
            moved = outer is not None or task.stage > 0 or ends[0] != ends[1] or any(each.removed for each in members)
            ended, known = end_at_posterior(bound, parameters, result.parameters, last, moved)
            left = known.numpy()
            diverged_at = np.where(np.isnan(left), result.diverged_at, -1)
            convergence = result.convergence.where_known(left)
            result = replace(result, parameters=ended, diverged_at=diverged_at, convergence=convergence)
    kept = KeptWeights.of(result.parameters, bound.weights)
    parameters = result.parameters if kept is None else kept.masked(result.parameters)  # coordinates mix weights
    result = replace(result, parameters=parameters, diverged_at=np.where(diverged >= 0, diverged, result.diverged_at))
    return dict(zip(members, values_of_members(result, bound), strict=True))


def values_of_members(result: TrainingResult, bound: Bound) -> list[MemberValues]:
    """The result of a stage, member by member."""
    own = unstack(result.parameters.map(Tensor.cpu), bound)
    curves = {f"trajectory/{name}": value for name, value in result.trajectory.terms.items()}
    curves.update({f"outer/{name}": value for name, value in result.outer.items() if name != "step"})
    steps = {"trajectory/steps": result.trajectory.steps}
    if result.outer:
        steps["outer/step"] = result.outer["step"]
    measure = result.convergence.arrays()
    return [
        MemberValues(
            {
                **{f"{PARAMETER}{name}": value.numpy() for name, value in parameters.items()},
                **{name: np.ascontiguousarray(value[:, number]) for name, value in curves.items()},
                **steps,
            },
            int(result.diverged_at[number]),
            Convergence(**{name: value[number] for name, value in measure.items()}),
        )
        for number, parameters in enumerate(own)
    ]


def fresh_start(context: RunContext, task: Task, bound: Bound) -> Parameters:
    """What members start with that inherit nothing; the folds of one start have their h in common."""
    members = bound.population.members
    keys, keys_of_h = (
        context.keys(each, task.setting, task.round, 0)
        for each in (members, tuple(replace(member, fold=0) for member in members))
    )
    return bound.start(keys, keys_of_h)


def inherited(context: RunContext, task: Task, bound: Bound, fresh: Parameters) -> Parameters:
    """Starting parameters with those of the members' parents in place, where the two have them in common."""
    started = fresh
    for parents in parents_of(context, task.setting, bound.population.members):
        started = inherit(started, bound, Trained(parents.bound, parents.parameters), parents.pairs)
    return started


def ends_of_stage(spec: Spec, stage: int, stages: int) -> list[tuple[float, float]]:
    """c_reg and c_train at the first and at the last step of a stage."""
    factors, steps = level_factors(spec), spec.optimizer.inner.steps
    return [
        (
            metaparameter_at(factors.c_reg, step, steps, stage, stages),
            metaparameter_at(factors.c_train, step, steps, stage, stages),
        )
        for step in (0, steps - 1)
    ]


def outer_level(spec: Spec, members: Sequence[Candidate]) -> OuterLevel | None:
    """How h is raised, None where it rises with θ; the folds of one start have their h in common, unless of parts."""
    options = spec.optimizer.outer
    method = registry().get("hypergradients", options.type)
    if method.levels == 1:
        return None
    of_parts = criterion_of(spec).of_parts
    starts = [(member.structure, member.restart, member.fold if of_parts else 0) for member in members]
    numbers = {start: number for number, start in enumerate(dict.fromkeys(starts))}
    return OuterLevel(method, options, tuple(numbers[start] for start in starts))


def largest_log_concentration(spec: Spec) -> float | None:
    """Bound on |log s|: the spec's, or a default where the structure may be repelled."""
    given = spec.posterior.structure.largest_log_concentration
    c_comb = spec.objective.c_comb
    smallest = c_comb.extremes()[0] if isinstance(c_comb, Schedule) else c_comb
    return LARGEST_LOG_CONCENTRATION if given is None and smallest < 0 else given
