"""The task that trains one batch of members through one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from ..evidence.complexity import complexities
from ..evidence.criterion import compare
from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..objective.bound import Bound
from ..objective.inherit import Trained, inherit
from ..objective.kept_weights import KeptWeights
from ..plan.batching import Batch
from ..plan.cost import selection_samples
from ..plan.tasks import Task
from ..plugins import Candidate, Schedule, metaparameter_at
from ..plugins.registry import registry
from ..spec.criterion_calls import level_factors
from ..spec.models import Spec
from ..spec.searched import searched_space
from ..store.names import REUSED
from ..store.run_directory import Found
from ..train.checkpoints import Checkpoints
from ..train.inner_method import method_of
from ..train.linear_fits import end_at_posterior, start_at_posterior
from ..train.linear_structures import Level
from ..train.metaparameters import metaparameter_tables
from ..train.outer_level import OuterLevel
from ..train.stage_inputs import Minibatching
from ..train.trainer import TrainingResult, train
from .context import RunContext
from .parents import parent_batches, stage_before
from .removed import removal_report, without_removed
from .reuse import reused_result
from .training_keys import TrainingKey, keys_as_json, keys_in, keys_of_parents, training_keys

CONVERGENCE = "convergence"
"""Group of a record's arrays, (M,) each, that hold the measure of `train.convergence`."""

LARGEST_LOG_CONCENTRATION = 6.0
"""Default bound on |log s| where c_comb is negative."""


def train_batch(
    context: RunContext,
    task: Task,
    batch: Batch,
    on_step: Callable[[int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> Found:
    """Train the task's batch, or some of its members as a batch, warm-started from the stage before.

    What an earlier revision of the run trained is reused.
    """
    stages = context.round_stages(task.setting, task.round)
    spec = stages[task.stage]
    against = context.against(task.setting, task.round)
    bound = context.bound(context.population(batch, spec), spec, against=against, stage=task.stage, stages=len(stages))
    folds = context.fold_weights(batch.members, spec)
    first_keys = context.keys(batch.members, task.setting, task.round, 0)
    without_folds = tuple(replace(member, fold=0) for member in batch.members)
    theta, hyperparameters = bound.start(first_keys, context.keys(without_folds, task.setting, task.round, 0))
    fresh = {**theta, **hyperparameters}
    earlier = reused_result(context, task, bound, fresh)
    result = earlier or trained_here(context, task, batch, bound, fresh, on_step, checkpoints)
    diverged = result.diverged_at
    payload: dict[str, Any] = {
        "empty": False,
        "members": [member_as_json(member) for member in batch.members],
        "diverged_at": diverged.tolist(),
        "keys": keys_as_json(keys_of(context, task, batch)),
        **({} if earlier is None else {REUSED: True}),
    }
    arrays = {f"parameter/{name}": value.cpu().numpy() for name, value in result.parameters.items()}
    arrays["trajectory/steps"] = result.trajectory.steps
    arrays.update({f"trajectory/{name}": value for name, value in result.trajectory.terms.items()})
    arrays.update({f"outer/{name}": value for name, value in result.outer.items()})
    if result.convergence is not None:
        arrays.update({f"{CONVERGENCE}/{name}": value for name, value in result.convergence.arrays().items()})
    trained = context.trained(bound, result.parameters, batch.members, task.setting, task.round, task.stage)
    samples = selection_samples(spec)
    with torch.no_grad():
        found = complexities(trained, samples)
    arrays.update({f"complexity/{name}": value.cpu().numpy() for name, value in found.items()})
    if task.stage == len(stages) - 1:
        held_out = None if folds is None else folds.held_out

        def sampled() -> TrainedPopulation:
            drawn = context.bound(bound.population, spec, False, against, task.stage, len(stages))
            return replace(trained, bound=drawn)

        compared = compare(trained, spec, samples, "select", sampled, held_out, task.stage, len(stages))
        usable = diverged < 0
        log_units = 0.0 if held_out is None else log_units_of_rows(context, batch.members, spec, held_out)
        payload["scores"] = over_folds(batch.members, numbers_or_none(compared.score - log_units, usable))
        payload["objectives"] = over_folds(batch.members, numbers_or_none(compared.objective - log_units, usable))
        payload["probabilities"] = open_probabilities(context, trained)
        payload["rounded"] = rounded_structures(context, task, trained.bound.population, payload["probabilities"])
        report = removal_report(context, trained, task, samples)
        if report is not None:
            payload["removal"] = report
    return Found(payload, arrays)


def trained_here(
    context: RunContext,
    task: Task,
    batch: Batch,
    bound: Bound,
    fresh: dict[str, torch.Tensor],
    on_step: Callable[[int], None] | None,
    checkpoints: Checkpoints | None,
) -> TrainingResult:
    """Train through the stage from what the members start with, of which `fresh` is what they don't inherit."""
    stages, members = context.round_stages(task.setting, task.round), batch.members
    spec, execution = stages[task.stage], context.execution
    x, y = context.rows(members, spec)
    outer = outer_level(spec, members)
    folds = context.fold_weights(members, spec)
    learned = None if folds is None else folds.learned
    level = Level(x, y, row_weights=learned, row_weight=context.study.dataset.row_weight)
    ends = ends_of_stage(spec, task.stage, len(stages))
    first, last = (replace(level, c_reg=c_reg, c_train=c_train if outer is None else None) for c_reg, c_train in ends)
    parameters = start_at_posterior(bound, inherited(context, task, bound, fresh), first)
    parameters = without_removed(context, task, bound, parameters)
    diverged = np.full(len(members), -1)
    if task.stage > 0:
        before = stage_before(context, task, batch)
        parameters = warm_start(parameters, before.parameters)
        diverged = before.diverged_at
    round_name = context.plan.settings[task.setting].rounds[task.round].name
    name, batch_size = f"{round_name}/{task.stage}", spec.optimizer.inner.batch_size
    with context.training_data(members, spec, name, batch_size) as data:
        result = train(
            bound,
            parameters,
            context.keys(members, task.setting, task.round, task.stage),
            data,
            metaparameter_tables(spec, task.stage, len(stages), execution.dtype, execution.device),
            spec.optimizer.inner.samples,
            Minibatching(batch_size, spec.seed, name),
            execution,
            on_step,
            method_of(spec.optimizer.inner),
            outer,
            largest_log_concentration(spec),
            checkpoints,
        )
        if data.stream is None:
            moved = outer is not None or task.stage > 0 or ends[0] != ends[1] or any(each.removed for each in members)
            ended, known = end_at_posterior(bound, parameters, result.parameters, last, moved)
            left = known.numpy()
            diverged_at = np.where(np.isnan(left), result.diverged_at, -1)
            convergence = None if result.convergence is None else result.convergence.where_known(left)
            result = replace(result, parameters=ended, diverged_at=diverged_at, convergence=convergence)
    kept = KeptWeights.of(result.parameters, bound.weights)
    parameters = result.parameters if kept is None else kept.masked(result.parameters)  # coordinates mix weights
    return replace(result, parameters=parameters, diverged_at=np.where(diverged >= 0, diverged, result.diverged_at))


def log_units_of_rows(
    context: RunContext, members: Sequence[Candidate], spec: Spec, held_out: torch.Tensor
) -> torch.Tensor | float:
    """What a log density of held-out rows (M, rows) in the units of each fold has more than in prepared units, (M,).

    With y' = (y − shift) / s the density of y is that of y' over s: for every row Σ log s over the targets.
    """
    units = context.units_of_folds(members, spec)
    if units is None:
        return 0.0
    of_row = [float(np.log(units[member.fold].target_scale).sum()) for member in members]
    return held_out.sum(1) * held_out.new_tensor(of_row)


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


def keys_of(context: RunContext, task: Task, batch: Batch) -> list[TrainingKey]:
    """The training keys of the members of a batch after the task's stage."""
    members = batch.members
    if task.stage == 0:
        starts = keys_of_parents(context, members, task.setting)
    else:
        before = keys_in(context, replace(task, stage=task.stage - 1))
        starts = [before[member].digest for member in members]
    against = context.against(task.setting, task.round)
    return training_keys(context, members, against, task.setting, task.round, task.stage, starts)


def warm_start(fresh: dict[str, torch.Tensor], earlier: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Parameters of the stage before, where this stage has them in the same shape; fresh ones elsewhere."""
    return {
        name: earlier[name] if name in earlier and earlier[name].shape == value.shape else value
        for name, value in fresh.items()
    }


def numbers_or_none(values: torch.Tensor, usable: np.ndarray) -> list[float | None]:
    """A number for every member; None where it diverged or isn't finite."""
    found = values.cpu().numpy()
    return [float(value) if ok else None for value, ok in zip(found, np.isfinite(found) & usable, strict=True)]


def over_folds(members: Sequence[Candidate], values: list[float | None]) -> list[float | None]:
    """The values with that of fold 0 replaced by the sum over the folds of the same start, where there are any."""
    totals = list(values)
    for number, member in enumerate(members):
        if member.fold > 0:
            continue
        start = (member.structure, member.restart)
        folds = [
            value
            for other, value in zip(members, values, strict=True)
            if other.fold > 0 and (other.structure, other.restart) == start
        ]
        if folds:
            known = [value for value in (*folds, values[number]) if value is not None]
            totals[number] = sum(known[:-1]) if len(known) == len(folds) + 1 else None
    return totals


def outer_level(spec: Spec, members: Sequence[Candidate]) -> OuterLevel | None:
    """How h is raised, None where it rises with θ; the folds of one start have their h in common."""
    options = spec.optimizer.outer
    method = registry().get("hypergradients", options.type)
    if method.levels == 1:
        return None
    starts = [(member.structure, member.restart) for member in members]
    numbers = {start: number for number, start in enumerate(dict.fromkeys(starts))}
    return OuterLevel(method, options, tuple(numbers[start] for start in starts))


def largest_log_concentration(spec: Spec) -> float | None:
    """Bound on |log s|: the spec's, or a default where the structure may be repelled."""
    given = spec.posterior.structure.largest_log_concentration
    c_comb = spec.objective.c_comb
    smallest = c_comb.extremes()[0] if isinstance(c_comb, Schedule) else c_comb
    return LARGEST_LOG_CONCENTRATION if given is None and smallest < 0 else given


def open_probabilities(context: RunContext, trained: TrainedPopulation) -> list[dict[str, dict[str, float]] | None]:
    """For every relaxed member and edge with a choice P(rounding picks a function) by name; None for discrete ones.

    Functions that aren't open have 0, the only open one of an edge of `one` has 1.
    """
    population = trained.bound.population
    if not population.is_relaxed:
        return [None] * population.size
    probabilities = trained.bound.structure.rounding_probabilities(trained.parameters)
    tables = {key: value.cpu().numpy() for key, value in probabilities.items()}
    found: list[dict[str, dict[str, float]] | None] = []
    for member in range(population.size):
        edges = {}
        for edge, blocks in zip(context.study.space.edges, population.layout.blocks, strict=True):
            if edge.space == "all":
                continue
            values = tables[edge.key][member].tolist() if edge.key in tables else [1.0] * len(blocks)
            by_name = dict(zip((block.name for block in blocks), values, strict=True))
            edges[edge.key] = {name: by_name.get(name, 0.0) for name in edge.names}
        found.append(edges)
    return found


def rounded_structures(
    context: RunContext,
    task: Task,
    population: Population,
    probabilities: Sequence[Mapping[str, Mapping[str, float]] | None],
) -> list[dict[str, Any] | None]:
    """The structure every relaxed member rounds to, of open functions in canonical form; None for discrete ones."""
    searched = searched_space(context.study.space, context.stages(task.setting)[0].regime)
    rounded: list[dict[str, Any] | None] = []
    for member, edges in zip(population.members, probabilities, strict=True):
        if edges is None:
            rounded.append(None)
            continue
        space = context.study.space if member.open is None else context.study.space.restricted(member.open)
        weights = [[edges[edge.key][name] if edge.key in edges else 1.0 for name in edge.names] for edge in space.edges]
        rounded.append(searched.canonical_form(space.round(weights)).as_dict())
    return rounded


def member_as_json(member: Candidate) -> dict[str, Any]:
    """A member as records name it."""
    return {
        "structure": None if member.structure is None else member.structure.as_dict(),
        "restart": member.restart,
        **({} if member.open is None else {"open": member.open.as_dict()}),
        **({} if member.fold == 0 else {"fold": member.fold}),
        **({} if member.removed is None else {"removed": asdict(member.removed)}),
    }


def inherited(context: RunContext, task: Task, bound: Bound, fresh: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Starting parameters with those of the members' parents in place, where the two have them in common."""
    started = fresh
    for parent in parent_batches(context, task.setting, bound.population.members):
        started = inherit(started, bound, Trained(parent.bound, parent.parameters), parent.pairs)
    return started
