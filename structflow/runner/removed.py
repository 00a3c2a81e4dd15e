"""Members whose single weights are removed: which ones, by what their parents learned, and what is left of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..evidence.metrics import member_metrics
from ..evidence.removal import kept_after, removal_places
from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..objective.bound import Bound
from ..objective.kept_weights import KeptWeights
from ..objective.members import stack, unstack
from ..objective.parameters import Parameters
from ..plan.tasks import Task
from ..plugins import Candidate, Removal
from ..plugins.registry import registry
from ..store.records import RemovalReport
from .context import RunContext
from .parents import parents_of
from .populations import part_of


def without_removed(context: RunContext, task: Task, bound: Bound, parameters: Parameters) -> Parameters:
    """Parameters with the masks of the weights that are kept, and the removed ones at zero.

    Nothing is changed for members none of which has weights removed. The order is that of the criterion on the parent
    as it was trained; what the parent lacks stays removed.
    """
    population = bound.population
    if all(member.removed is None for member in population.members):
        return parameters
    whole = parameters._replace(kept=all_kept(population))
    own, masks = unstack(whole, bound), [part.label for part in bound.described.kept]
    for parents in parents_of(context, task.setting, population.members):
        ordered = parents.bound.population.members
        trained = context.trained(parents.bound, parents.parameters, ordered, task.setting, parents.round)
        for removal in {population.members[child].removed for child in parents.pairs}:
            if removal is None:
                continue
            left = unstack(trained.parameters._replace(kept=weights_left(trained, removal)), parents.bound)
            for child, parent in parents.pairs.items():
                if population.members[child].removed == removal:
                    own[child].update({label: left[parent][label] for label in masks if label in own[child]})
    held = stack(own, bound, whole)
    kept = KeptWeights.of(held, bound.weights)
    assert kept is not None
    return kept.masked(held)


def all_kept(population: Population) -> tuple[torch.Tensor, ...]:
    """Masks of 1 for all weights."""
    return tuple(
        torch.ones((len(index.slots), group.size), dtype=torch.float64)
        for group, index in zip(population.layout.groups, population.groups, strict=True)
    )


def weights_left(trained: TrainedPopulation, removal: Removal) -> tuple[torch.Tensor, ...]:
    """The masks of a parent batch once a share of all weights is removed, the least relevant of those left first."""
    weights = trained.weights
    criterion = registry().of_kind("relevances")[removal.criterion]
    options = criterion.options.model_validate({"type": removal.criterion})
    present = weights.places < weights.total
    places = removal_places(criterion.plugin, options, weights, weights.used)
    already = present.sum(1, keepdim=True) - weights.used.sum(1, keepdim=True)
    ordered = torch.where(weights.used, places + already, torch.where(present, 0, places.shape[1]))
    masks = weights.by_group(kept_after(ordered, removal.share).double())
    return tuple(value.cpu() for value in masks)


def removal_report(
    context: RunContext, trained: TrainedPopulation, task: Task, samples: int
) -> Sequence[RemovalReport | None]:
    """For every member how many weights it has and how many are left, and its metrics; None where none can lack any.

    It is what the curve of a regime that removes weights is drawn from. Members that learn without some of the training
    rows have no metrics: those of all rows would hold rows that they are judged by.
    """
    members = trained.bound.population.members
    if all(member.removed is None for member in members):
        return [None] * len(members)
    dataset, weights = context.study.dataset, trained.weights
    wanted = [number for number, member in enumerate(members) if member.fold == 0]
    metrics: dict[Candidate, dict[str, dict[str, float]]] = {member: {} for member in members}
    if wanted:
        sampled = part_of(context, task, trained, wanted, integrate=False)
        for name, part in (("train", dataset.train()), ("test", dataset.test())):
            found = member_metrics(sampled, part, samples, name)
            for member, values in zip(sampled.bound.population.members, found, strict=True):
                metrics[member][name] = values
    total, left = (weights.places < weights.total).sum(1).tolist(), weights.used.sum(1).tolist()
    return [
        RemovalReport(weights=total[number], left=left[number], metrics=metrics[member])
        for number, member in enumerate(members)
    ]
