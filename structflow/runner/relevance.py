"""The curves of removed weights of evaluated members, for the structures that the spec asks them of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..data.dataset import Dataset
from ..evidence.removal import removal_places
from ..evidence.removal_curve import CurveRows, CurveSettings, removal_curves
from ..evidence.trained import TrainedPopulation
from ..objective.subset import subset_parameters
from ..plan.batching import make_batches
from ..plan.tasks import Task
from ..plugins.registry import registry
from ..spec.models import RelevanceCurves, Spec
from .context import RunContext
from .select import canonical, of_whole_networks
from .shared_records import derived, selection_record

NOT_REMOVED = -1
"""Stands where a member has no weight, or no curve."""


@dataclass(frozen=True)
class Relevances:
    """For every member its curves by criterion, or None; arrays (M, n) say when each weight is removed."""

    curves: list[dict[str, Any] | None]
    arrays: dict[str, np.ndarray]


def member_relevances(context: RunContext, trained: TrainedPopulation, task: Task) -> Relevances:
    """The curves of those members of an evaluated batch whose structures are among the first `relevance.structures`."""
    spec = context.round_stages(task.setting, task.round)[-1]
    found = Relevances([None] * trained.size, {})
    if spec.relevance is None or trained.bound.population.is_relaxed:
        return found
    wanted = wanted_structures(context, spec.relevance, task.setting)
    members = trained.bound.population.members
    numbers = [
        number
        for number, member in enumerate(members)
        if member.structure is not None and not member.is_pruned and member.structure.canonical in wanted
    ]
    if not numbers:
        return found
    fewer, numbers = only(context, trained, numbers, spec, task)
    weights, dataset = fewer.weights, context.study.dataset
    settings = curve_settings(spec, spec.relevance, dataset)
    rows = {"train": CurveRows(fewer.x, fewer.y)}
    x, y = dataset.test()
    if len(x) > 0:
        rows["test"] = CurveRows(*(torch.from_numpy(array).to(fewer.x.device) for array in (x, y)))
    curves: list[dict[str, Any]] = [{} for _ in numbers]
    for options in spec.relevance.criteria:
        criterion = registry().get("relevances", options.type)
        places = removal_places(criterion, options, weights, weights.used)
        for curve, values in zip(curves, removal_curves(weights, places, rows, settings), strict=True):
            curve[options.type] = in_units(values.as_json(), dataset.n_train * settings.shift)
        stored = np.full((trained.size, places.shape[1]), NOT_REMOVED, dtype=np.int64)
        stored[numbers] = places.where(weights.used, NOT_REMOVED).cpu().numpy()
        found.arrays[f"removal/{options.type}"] = stored
    for number, curve in zip(numbers, curves, strict=True):
        found.curves[number] = curve
    return found


def wanted_structures(context: RunContext, relevance: RelevanceCurves, setting: int) -> set[str]:
    """The canonical names of the structures whose best restarts have the highest scores; ties by canonical name."""
    ordered = derived(context.directory, selection_record(context.directory, setting), by_best_score)
    return set(ordered if relevance.structures == "all" else ordered[: relevance.structures])


def by_best_score(selection: Mapping[str, Any]) -> list[str]:
    """The canonical names of structures with a score, the best first, from the payload of a selection."""
    best: Mapping[str, float] = {
        canonical(item["structure"]): max(score for score in item["scores"] if score is not None)
        for item in of_whole_networks(selection["structures"])
        if any(score is not None for score in item["scores"])
    }
    return sorted(best, key=lambda name: (-best[name], name))


def only(
    context: RunContext, trained: TrainedPopulation, numbers: Sequence[int], spec: Spec, task: Task
) -> tuple[TrainedPopulation, list[int]]:
    """A population of some of the members, and their numbers in the order that they have there."""
    members = trained.bound.population.members
    (batch,) = make_batches(context.study.graph, [members[number] for number in numbers], len(numbers))
    ordered = [members.index(member) for member in batch.members]
    population = context.population(batch, spec)
    device = trained.x.device
    parameters = subset_parameters(
        {name: value.cpu() for name, value in trained.parameters.items()}, trained.bound, population, ordered
    )
    bound = context.bound(population, spec, integrate=False)
    moved = {name: value.to(device) for name, value in parameters.items()}
    return context.trained(bound, moved, batch.members, task.setting, task.round), ordered


def curve_settings(spec: Spec, relevance: RelevanceCurves, dataset: Dataset) -> CurveSettings:
    """What the spec asks for."""
    return CurveSettings(
        relevance.shares,
        relevance.samples,
        relevance.input_noise,
        relevance.weight_noise,
        relevance.perturbations,
        spec.seed,
        float(np.log(dataset.target_scale).sum()),
        dataset.target_shift,
    )


def in_units(curve: dict[str, Any], shift: float) -> dict[str, Any]:
    """A curve whose bound is in the target's original units."""
    return {**curve, "bound": [value - shift for value in curve["bound"]]}
