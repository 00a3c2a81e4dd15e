"""The batches of earlier rounds in which members have their parents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..objective.bound import Bound
from ..objective.subset import subset_parameters
from ..plan.batching import Batch, make_batches
from ..plan.tasks import Task
from ..plugins import Candidate, Parent
from .context import RunContext
from .shared_records import decision_record, derived


@dataclass(frozen=True)
class ParentBatch:
    """A trained batch of an earlier round: `pairs` gives for the numbers of children the numbers of their parents."""

    round: int
    batch: Batch
    bound: Bound
    parameters: dict[str, torch.Tensor]
    pairs: Mapping[int, int]

    @property
    def population(self) -> Population:
        """Its members."""
        return self.bound.population

    def trained(self, context: RunContext, setting: int) -> TrainedPopulation:
        """Its members after their last stage, for evaluation."""
        return context.trained(self.bound, self.parameters, self.batch.members, setting, self.round)


def parent_batches(context: RunContext, setting: int, members: Sequence[Candidate]) -> Iterator[ParentBatch]:
    """Every batch that holds a parent of some of the members.

    A member of a fold goes on from its parent's member of the same fold, so that it never sees what it is judged by.
    """
    wanted = {member.parent for member in members if member.parent is not None}
    for round_index in sorted({parent.round for parent in wanted}):
        planned = context.plan.settings[setting].rounds[round_index]
        for slot in slots_of_parents(context, members, setting, round_index):
            earlier = Task("train", setting, round_index, len(planned.steps) - 1, slot)
            batch = trained_in_slot(context, earlier)
            if batch is None:
                continue
            numbers = {
                (as_parent(member, round_index), member.fold): number for number, member in enumerate(batch.members)
            }
            pairs = {
                number: numbers[member.parent, member.fold]
                for number, member in enumerate(members)
                if member.parent is not None and (member.parent, member.fold) in numbers
            }
            if not pairs:
                continue
            spec = context.round_stages(setting, round_index)[-1]
            arrays = context.directory.arrays(context.directory.record(earlier.name), is_parameter)
            bound = context.bound(context.population(batch, spec), spec)
            yield ParentBatch(round_index, batch, bound, parameters_in(arrays), pairs)


def slots_of_parents(context: RunContext, members: Sequence[Candidate], setting: int, round_index: int) -> list[int]:
    """The slots of a round into which it was decided to put parents of the members, in order."""
    record = decision_record(context.directory, setting, round_index)
    slots = derived(context.directory, record, slots_of_members)
    parents = [
        (member.parent.structure, member.parent.open, member.parent.restart)
        for member in members
        if member.parent is not None and member.parent.round == round_index
    ]
    return sorted(set().union(*(slots.get(parent, ()) for parent in parents)))


def slots_of_members(decision: Mapping[str, Any]) -> dict[object, set[int]]:
    """The slots that hold the folds of each start (structure, open set, restart), from the payload of a decision."""
    slots: dict[object, set[int]] = {}
    for slot, stored in enumerate(decision["batches"]):
        for member in Batch.from_json(stored).members:
            slots.setdefault((member.structure, member.open, member.restart), set()).add(slot)
    return slots


def batch_in_slot(context: RunContext, task: Task) -> Batch | None:
    """The batch that the round's decision put into the slot, if any."""
    decision = decision_record(context.directory, task.setting, task.round).payload["batches"]
    return Batch.from_json(decision[task.slot]) if task.slot < len(decision) else None


def trained_in_slot(context: RunContext, task: Task) -> Batch | None:
    """The batch that a training task's record holds: that of its slot without failed members; None if none is left."""
    planned = batch_in_slot(context, task)
    if planned is None or "failed" not in context.directory.record(task.name).payload:
        return planned
    return batch_without(context, planned, {each["number"] for each in failed_in(context, task)})


def failed_in(context: RunContext, task: Task) -> list[dict[str, Any]]:
    """What the record of a training task says of members that failed, in this stage or before."""
    return list(context.directory.record(task.name).payload.get("failed", []))


def batch_without(context: RunContext, batch: Batch, numbers: Collection[int]) -> Batch | None:
    """A batch without some of its members, laid out as if they had never been in it; None where nobody is left."""
    left = [member for number, member in enumerate(batch.members) if number not in numbers]
    return make_batches(context.study.graph, left, len(left))[0] if left else None


@dataclass(frozen=True)
class StageBefore:
    """Members as the stage before left them: parameters in float64, and when they diverged (M,), −1 for never."""

    parameters: dict[str, torch.Tensor]
    diverged_at: np.ndarray


def stage_before(context: RunContext, task: Task, batch: Batch) -> StageBefore:
    """What the stage before a task's left of the members of a batch, all or some of those that it trained."""
    earlier = replace(task, stage=task.stage - 1)
    record = context.directory.record(earlier.name)
    parameters, diverged_at = (
        parameters_in(context.directory.arrays(record, is_parameter)),
        np.array(record.payload["diverged_at"]),
    )
    trained = trained_in_slot(context, earlier)
    if trained is None or trained == batch:
        return StageBefore(parameters, diverged_at)
    numbers = {member: number for number, member in enumerate(trained.members)}
    chosen = [numbers[member] for member in batch.members]
    spec = context.round_stages(task.setting, task.round)[earlier.stage]
    bound = context.bound(context.population(trained, spec), spec)
    left = subset_parameters(parameters, bound, context.population(batch, spec), chosen)
    return StageBefore(left, diverged_at[chosen])


def as_parent(member: Candidate, round_index: int) -> Parent:
    """A member of a round as others name it as their parent."""
    return Parent(round_index, member.structure, member.open, member.restart)


def is_parameter(name: str) -> bool:
    """Whether an array of a record is a parameter."""
    return name.startswith("parameter/")


def parameters_in(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The parameters among the arrays of a record, in float64."""
    return {
        name.removeprefix("parameter/"): torch.from_numpy(value).double()
        for name, value in arrays.items()
        if name.startswith("parameter/")
    }
