"""The curves of removed weights of evaluated members, for the structures that the spec asks them of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data.dataset import Dataset
from ..evidence import removal_curve
from ..evidence.removal import removal_places
from ..evidence.removal_curve import CurveRows, CurveSettings, removal_curves
from ..evidence.trained import TrainedPopulation
from ..plan.tasks import Task
from ..plugins import Candidate
from ..plugins.registry import registry
from ..spec.models import RelevanceCurves, Spec
from ..store.records import RemovalCurve, SelectRecord
from .context import RunContext
from .populations import part_of
from .select import canonical, whole_networks
from .shared_records import derived

NOT_REMOVED = -1
"""Stands where a member has no weight."""


@dataclass(frozen=True)
class MemberCurves:
    """Curves of a member by criterion; arrays `removal/<criterion>` (n,) say when each of its weights is removed."""

    curves: dict[str, RemovalCurve]
    arrays: dict[str, np.ndarray]


def has_curves(context: RunContext, member: Candidate, spec: Spec, setting: int) -> bool:
    """Whether the spec asks for a member's curves: its structure is among the first `relevance.structures`.

    They are ordered by the scores of their best restarts; ties by canonical name.
    """
    if spec.relevance is None or member.structure is None or member.is_pruned:
        return False
    ordered = derived(context.directory, Task("select", setting), SelectRecord, by_best_score)
    wanted = ordered if spec.relevance.structures == "all" else ordered[: spec.relevance.structures]
    return member.structure.canonical in wanted


def member_relevances(context: RunContext, trained: TrainedPopulation, task: Task) -> dict[Candidate, MemberCurves]:
    """The curves of those members of an evaluated batch that have some."""
    spec = context.round_stages(task.setting, task.round)[-1]
    members = trained.bound.population.members
    numbers = [number for number, each in enumerate(members) if has_curves(context, each, spec, task.setting)]
    if spec.relevance is None or not numbers:
        return {}
    fewer = part_of(context, task, trained, numbers, integrate=False)
    weights, dataset = fewer.weights, context.study.dataset
    settings = curve_settings(spec, spec.relevance, dataset)
    rows = {"train": CurveRows(fewer.x, fewer.y)}
    x, y = dataset.test()
    if len(x) > 0:
        rows["test"] = CurveRows(*(torch.from_numpy(array).to(fewer.x.device) for array in (x, y)))
    found = {member: MemberCurves({}, {}) for member in fewer.bound.population.members}
    for options in spec.relevance.criteria:
        criterion = registry().get("relevances", options.type)
        places = removal_places(criterion, options, weights, weights.used)
        orders = places.where(weights.used, NOT_REMOVED).cpu().numpy()
        values = removal_curves(weights, places, rows, settings)
        for each, curve, order in zip(found.values(), values, orders, strict=True):
            shift = dataset.n_train * settings.shift
            in_units = replace(curve, bound=[value - shift for value in curve.bound])
            each.curves[options.type] = stored_curve(in_units)
            each.arrays[f"removal/{options.type}"] = order
    return found


def stored_curve(curve: removal_curve.RemovalCurve) -> RemovalCurve:
    """A curve as it is kept, with both kinds of rows."""
    metrics = {rows: curve.metrics.get(rows, {}) for rows in ("train", "test")}
    return RemovalCurve.model_validate({**vars(curve), "metrics": metrics})


def by_best_score(selection: SelectRecord) -> list[str]:
    """The canonical names of structures with a score, the best first."""
    best = {
        canonical(item.structure): max(score for score in item.scores if score is not None)
        for item in whole_networks(selection)
        if item.structure is not None and item.best is not None
    }
    return sorted(best, key=lambda name: (-best[name], name))


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
