"""What restarts are compared by: scores, complexities and roundings of members after a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..evidence.complexity import complexities
from ..evidence.criterion import compare, final_metaparameters
from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..plan.batching import make_batches
from ..plan.cost import selection_samples
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.criterion_calls import criterion_of
from ..spec.models import Spec
from ..spec.searched import searched_space
from ..store.digest import digest_of_arrays
from ..store.records import Complexities, StructureJson, TrainedMember
from .context import RunContext
from .populations import own_parameters, trained_with
from .removed import removal_report
from .train import MemberValues


def trained_members(
    context: RunContext, task: Task, keys: Mapping[Candidate, str], values: Mapping[Candidate, MemberValues]
) -> dict[Candidate, TrainedMember]:
    """What the record of a training task says of members with these values, which make up a batch or a part of one.

    It is found anew where members were trained before the run was extended: it may depend on what is possible now.
    """
    stages = context.round_stages(task.setting, task.round)
    spec, against = stages[task.stage], context.against(task.setting, task.round)
    (batch,) = make_batches(context.study.graph, list(values), len(values))
    bound = context.bound(context.population(batch, spec), spec, against=against, stage=task.stage, stages=len(stages))
    own = {member: own_parameters(each.arrays) for member, each in values.items()}
    trained = trained_with(context, task, bound, own)
    samples = selection_samples(spec)
    with torch.no_grad():
        found = {name: value.tolist() for name, value in complexities(trained, samples).items()}
    members = [
        TrainedMember(
            key=keys[member],
            digest=digest_of_arrays(values[member].arrays),
            diverged_at=values[member].diverged_at,
            bound=last_bound(values[member].arrays),
            complexities=Complexities(**{name: column[number] for name, column in found.items()}),
        )
        for number, member in enumerate(batch.members)
    ]
    if task.stage == len(stages) - 1:
        members = with_scores(context, task, trained, members, samples)
    return dict(zip(batch.members, members, strict=True))


def with_scores(
    context: RunContext, task: Task, trained: TrainedPopulation, members: Sequence[TrainedMember], samples: int
) -> list[TrainedMember]:
    """The members after their last stage with what is known only then."""
    stages = context.round_stages(task.setting, task.round)
    spec, candidates = stages[task.stage], trained.bound.population.members
    folds = context.fold_weights(candidates, spec)
    held_out = None if folds is None else folds.held_out

    def sampled() -> TrainedPopulation:
        against = context.against(task.setting, task.round)
        drawn = context.bound(trained.bound.population, spec, False, against, task.stage, len(stages))
        return replace(trained, bound=drawn)

    at = final_metaparameters(spec, trained, task.stage, len(stages))
    compared = compare(trained, spec, at, samples, "select", sampled, held_out)
    usable = np.array([member.diverged_at < 0 for member in members])
    log_units = 0.0 if held_out is None else log_units_of_rows(context, candidates, spec, held_out)
    scores, objectives = (
        numbers_or_none(values - log_units, usable) for values in (compared.score, compared.objective)
    )
    if not criterion_of(spec).of_parts:  # else parts are put together over restarts, some of which are elsewhere
        scores, objectives = over_folds(candidates, scores), over_folds(candidates, objectives)
    probabilities = open_probabilities(context, trained)
    rounded = rounded_structures(context, task, trained.bound.population, probabilities)
    reports = removal_report(context, trained, task, samples)
    return [
        member.model_copy(
            update={
                "score": scores[number],
                "objective": objectives[number],
                "probabilities": probabilities[number],
                "rounded": rounded[number],
                "removal": reports[number],
            }
        )
        for number, member in enumerate(members)
    ]


def last_bound(arrays: Mapping[str, np.ndarray]) -> float:
    """The bound of the samples of the last step."""
    log_likelihood, *divergences = (
        arrays[f"trajectory/{name}"][-1] for name in ("log_likelihood", "kl_weights", "kl_structure")
    )
    return float(log_likelihood - divergences[0] - divergences[1])


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
) -> list[StructureJson | None]:
    """The structure every relaxed member rounds to, of open functions in canonical form; None for discrete ones."""
    searched = searched_space(context.study.space, context.stages(task.setting)[0].regime)
    rounded: list[StructureJson | None] = []
    for member, edges in zip(population.members, probabilities, strict=True):
        if edges is None:
            rounded.append(None)
            continue
        space = context.study.space if member.open is None else context.study.space.restricted(member.open)
        weights = [[edges[edge.key][name] if edge.key in edges else 1.0 for name in edge.names] for edge in space.edges]
        rounded.append(searched.canonical_form(space.round(weights)).as_dict())
    return rounded
