"""What was decided for the slots of a round: their batches, and the training keys of their members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..plan.batching import Batch
from ..plan.plan import Plan
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.structures import OpenSet, Structure
from ..store.records import DecideRecord, TrainedMember, TrainRecord
from ..store.run_directory import RunDirectory
from .shared_records import derived

Start = tuple[Structure | None, OpenSet | None, int, int]
"""What names a member among those of its round: structure, open set, restart, fold."""


@dataclass(frozen=True)
class DecidedBatch:
    """The batch of a slot, and of every member the keys after each stage."""

    batch: Batch
    keys: tuple[tuple[str, ...], ...]

    @property
    def members(self) -> tuple[Candidate, ...]:
        """Its members, in the order in which records list them."""
        return self.batch.members

    def after(self, stage: int) -> list[str]:
        """The keys of its members after a stage."""
        return [own[stage] for own in self.keys]

    def keys_after(self, stage: int) -> dict[Candidate, str]:
        """The key of every member after a stage."""
        return dict(zip(self.members, self.after(stage), strict=True))


def decided_batches(directory: RunDirectory, setting: int, round_index: int) -> list[DecidedBatch]:
    """The batches of a round, by slot; raises `StorageError` where its decide task isn't done."""
    return derived(directory, Task("decide", setting, round_index), DecideRecord, batches_in)


def decided_batch(directory: RunDirectory, task: Task) -> DecidedBatch | None:
    """The batch that the round's decision put into the slot of a task, if any."""
    batches = decided_batches(directory, task.setting, task.round)
    return batches[task.slot] if task.slot < len(batches) else None


def keys_of_parents(directory: RunDirectory, members: Sequence[Candidate], setting: int) -> list[str | None]:
    """For every member the key of its parent after the parent's last stage; None where it has none.

    A member of a fold goes on from its parent's member of the same fold, so that it never sees what it is judged by.
    """
    found: list[str | None] = []
    for member in members:
        parent = member.parent
        if parent is None:
            found.append(None)
            continue
        keys = derived(directory, Task("decide", setting, parent.round), DecideRecord, keys_by_start)
        found.append(keys.get((parent.structure, parent.open, parent.restart, member.fold)))
    return found


@dataclass(frozen=True)
class StoredMember:
    """A member as a training task left it: what it is, what the record says of it, and its arrays."""

    candidate: Candidate
    found: TrainedMember
    arrays: dict[str, np.ndarray]


def stored_members(
    directory: RunDirectory, task: Task, wanted: Callable[[str], bool] = lambda name: True
) -> list[StoredMember]:
    """The members that a training task trained, with the wanted arrays, without those that failed."""
    decided = decided_batch(directory, task)
    if decided is None:
        return []
    found = zip(decided.members, directory.read(task.name, TrainRecord).members, strict=True)
    left = [(member, each) for member, each in found if each.failed is None]
    arrays = directory.members.arrays([each.key for _, each in left], wanted)
    return [StoredMember(*pair, own) for pair, own in zip(left, arrays, strict=True)]


def trainings(plan: Plan, setting: int, stage: int = -1, before_round: int | None = None) -> Iterator[Task]:
    """The tasks that train the batches of a setting through a stage, by default the last, in the order of the plan."""
    for round_index, planned in enumerate(plan.settings[setting].rounds[:before_round]):
        number = range(len(planned.steps))[stage]
        yield from (Task("train", setting, round_index, number, slot) for slot in range(planned.slots))


def batches_in(decision: DecideRecord) -> list[DecidedBatch]:
    """The batches of a decision."""
    return [
        DecidedBatch(Batch.of_record(batch), tuple(name.keys for name in batch.members)) for batch in decision.batches
    ]


def keys_by_start(decision: DecideRecord) -> dict[Start, str]:
    """The key of every member after its last stage."""
    return {
        (member.structure, member.open, member.restart, member.fold): own[-1]
        for decided in batches_in(decision)
        for member, own in zip(decided.members, decided.keys, strict=True)
    }
