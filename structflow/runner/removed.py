"""Members whose single weights are removed: which ones, by what their parents learned, and what is left of each."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch

from ..evidence.metrics import member_metrics
from ..evidence.removal import kept_after, removal_places
from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..objective.bound import Bound
from ..objective.kept_weights import KeptWeights, mask_name
from ..plan.tasks import Task
from ..plugins import Removal
from ..plugins.registry import registry
from .context import RunContext
from .parents import ParentBatch, parent_batches
from .relevance import only

Parameters = dict[str, torch.Tensor]


def without_removed(context: RunContext, task: Task, bound: Bound, parameters: Parameters) -> Parameters:
    """Parameters with the masks of the weights that are kept, and the removed ones at zero.

    Nothing is changed for members none of which has weights removed. The order is that of the criterion on the parent
    as it was trained; what the parent lacks stays removed.
    """
    population = bound.population
    if all(member.removed is None for member in population.members):
        return parameters
    masks = all_kept(population)
    for parent in parent_batches(context, task.setting, population.members):
        trained = parent.trained(context, task.setting)
        groups: dict[Removal, list[int]] = defaultdict(list)
        for child in parent.pairs:
            removed = population.members[child].removed
            if removed is not None:
                groups[removed].append(child)
        for removal, children in groups.items():
            left = weights_left(trained, removal)
            copy_masks(masks, population, left, parent, children)
    held = {**parameters, **masks}
    kept = KeptWeights.of(held, bound.weights)
    assert kept is not None
    return kept.masked(held)


def all_kept(population: Population) -> Parameters:
    """Masks of 1 for all weights."""
    return {
        mask_name(group): torch.ones((len(index.slots), group.size), dtype=torch.float64)
        for group, index in zip(population.layout.groups, population.groups, strict=True)
    }


def weights_left(trained: TrainedPopulation, removal: Removal) -> Parameters:
    """The masks of a parent batch once a share of all weights is removed, the least relevant of those left first."""
    weights = trained.weights
    criterion = registry().of_kind("relevances")[removal.criterion]
    options = criterion.options.model_validate({"type": removal.criterion})
    present = weights.places < weights.total
    places = removal_places(criterion.plugin, options, weights, weights.used)
    already = present.sum(1, keepdim=True) - weights.used.sum(1, keepdim=True)
    ordered = torch.where(weights.used, places + already, torch.where(present, 0, places.shape[1]))
    masks = weights.by_group(kept_after(ordered, removal.share).double())
    groups = trained.bound.population.layout.groups
    return {mask_name(group): value.cpu() for group, value in zip(groups, masks, strict=True)}


def copy_masks(
    masks: Parameters, population: Population, left: Parameters, parent: ParentBatch, children: list[int]
) -> None:
    """Put the masks of the parents into those of their children."""
    numbers = {group.name: number for number, group in enumerate(parent.population.layout.groups)}
    for group, index in zip(population.layout.groups, population.groups, strict=True):
        for slot, member in enumerate(index.slots.tolist()):
            if member in children:
                earlier = parent.population.groups[numbers[group.name]]
                held = left[mask_name(group)][int(earlier.positions[parent.pairs[member]])]
                masks[mask_name(group)][slot] = held


def removal_report(
    context: RunContext, trained: TrainedPopulation, task: Task, samples: int
) -> list[dict[str, Any]] | None:
    """For every member how many weights it has and how many are left, and its metrics; None where none can lack any.

    It is what the curve of a regime that removes weights is drawn from. Members that learn without some of the training
    rows have no metrics: those of all rows would hold rows that they are judged by.
    """
    population = trained.bound.population
    if all(member.removed is None for member in population.members):
        return None
    spec, dataset, weights = context.round_stages(task.setting, task.round)[-1], context.study.dataset, trained.weights
    wanted = [number for number, member in enumerate(population.members) if member.fold == 0]
    found: dict[int, dict[str, Any]] = {number: {} for number in range(trained.size)}
    if wanted:
        sampled, ordered = only(context, trained, wanted, spec, task)
        for name, part in (("train", dataset.train()), ("test", dataset.test())):
            for number, metrics in zip(ordered, member_metrics(sampled, part, samples, name), strict=True):
                found[number][name] = metrics
    total, left = (weights.places < weights.total).sum(1).tolist(), weights.used.sum(1).tolist()
    return [
        {
            "weights": total[number],
            "left": left[number],
            "metrics": found[number],
        }
        for number in range(trained.size)
    ]
