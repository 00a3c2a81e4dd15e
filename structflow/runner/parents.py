"""The batches of earlier rounds in which members have their parents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..evidence.trained import TrainedPopulation
from ..model.population import Population
from ..objective.bound import Bound
from ..plan.batching import Batch
from ..plan.tasks import Task
from ..plugins import Candidate, Parent
from .context import RunContext


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
        for slot in range(planned.slots):
            earlier = Task("train", setting, round_index, len(planned.steps) - 1, slot)
            batch = batch_in_slot(context, earlier)
            if batch is None:
                break
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
            arrays = context.directory.arrays(context.directory.record(earlier.name))
            bound = context.bound(context.population(batch, spec), spec)
            yield ParentBatch(round_index, batch, bound, parameters_in(arrays), pairs)


def batch_in_slot(context: RunContext, task: Task) -> Batch | None:
    """The batch that the round's decision put into the slot, if any."""
    decision = context.directory.record(Task("decide", task.setting, task.round).name).payload["batches"]
    return Batch.from_json(decision[task.slot]) if task.slot < len(decision) else None


def as_parent(member: Candidate, round_index: int) -> Parent:
    """A member of a round as others name it as their parent."""
    return Parent(round_index, member.structure, member.open, member.restart)


def parameters_in(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The parameters among the arrays of a record, in float64."""
    return {
        name.removeprefix("parameter/"): torch.from_numpy(value).double()
        for name, value in arrays.items()
        if name.startswith("parameter/")
    }
