"""The task that picks the best restart of every structure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.structures import Structure
from ..store.records import FailedMember, SelectedStructure, SelectRecord, StructureJson, TrainedMember, TrainRecord
from .context import RunContext
from .decided import decided_batch, trainings
from .fold_scores import Judged, of_all_rows

NEAR = 1.0
"""Restarts within this many nats of the best agree with it."""

RELAXED = "relaxed"
"""Stands for the structure of relaxed members."""


@dataclass(frozen=True)
class Restart:
    """A trained member: its round, what it is, and what the record of its last stage says of it."""

    round: int
    member: Candidate
    found: TrainedMember

    @property
    def rank(self) -> tuple[float, int, int]:
        """Best first; equal scores by round and restart, diverged and failed members last."""
        return (math.inf if self.found.score is None else -self.found.score, *self.order)

    @property
    def order(self) -> tuple[int, int]:
        """By round and restart."""
        return self.round, self.member.restart


def select(context: RunContext, task: Task) -> SelectRecord:
    """For every structure trained in any round, and for the last relaxation, the restart with the highest score.

    Pruned networks are picked separately: structures are compared by their unpruned networks.
    """
    restarts: dict[str, list[Restart]] = {}
    everyone = list(trained_restarts(context, task.setting))
    for each in everyone:
        structure = each.member.structure
        key = RELAXED if structure is None else canonical(structure.as_dict(), each.member.is_pruned)
        restarts.setdefault(key, []).append(each)
    failed = [failed_member(context, task.setting, each) for each in everyone if each.found.failed is not None]
    if RELAXED in restarts:
        restarts[RELAXED] = of_last_round(restarts[RELAXED])
    return SelectRecord(
        structures=tuple(selected(restarts[key]) for key in sorted(restarts)),
        members=len(everyone),
        diverged=sum(each.found.score is None for each in everyone) - len(failed),
        failed=tuple(failed),
    )


def selected(restarts: Sequence[Restart]) -> SelectedStructure:
    """The restarts of one structure, or of the relaxation."""
    best = min(restarts, key=lambda each: each.rank)
    ordered = sorted(restarts, key=lambda each: each.order)
    scores = [each.found.score for each in ordered]
    member, is_usable = best.member, best.found.score is not None
    return SelectedStructure(
        structure=named(member.structure),
        pruned=member.is_pruned,
        scores=tuple(scores),
        best=best.found.key if is_usable else None,
        best_restart=member.restart if is_usable else None,
        agreement=agreement(scores),
        rounded=tuple(each.found.rounded for each in ordered) if member.structure is None else None,
    )


def failed_member(context: RunContext, setting: int, restart: Restart) -> FailedMember:
    """A member whose code raised while it was trained."""
    failure = restart.found.failed
    assert failure is not None
    return FailedMember(
        structure=named(restart.member.structure),
        restart=restart.member.restart,
        round=context.plan.settings[setting].rounds[restart.round].name,
        **failure.model_dump(),
    )


def of_last_round(restarts: Sequence[Restart]) -> list[Restart]:
    """Those of the last round in which any member didn't diverge, or of the last one."""
    rounds = [each.round for each in restarts if each.found.score is not None] or [each.round for each in restarts]
    return [each for each in restarts if each.round == max(rounds)]


def trained_restarts(context: RunContext, setting: int) -> Iterator[Restart]:
    """The members of a setting that learn from all rows, after their last stage, in order."""
    judged = []
    for task in trainings(context.plan, setting):
        decided = decided_batch(context.directory, task)
        if decided is not None:
            found = context.directory.read(task.name, TrainRecord).members
            judged += [Judged(task.round, *each) for each in zip(decided.members, found, strict=True)]
    for each in of_all_rows(context.stages(setting)[-1], judged):
        yield Restart(*each)


def named(structure: Structure | None) -> StructureJson | None:
    """A structure as records name it."""
    return None if structure is None else structure.as_dict()


def canonical(structure: StructureJson, pruned: bool = False) -> str:
    """The canonical text of a structure in JSON form; another one for its network with pruned weights."""
    return ("pruned " if pruned else "") + Structure.from_dict(dict(structure)).canonical


def whole_networks(selection: SelectRecord) -> Iterator[SelectedStructure]:
    """The structures of a selection, without relaxed members and pruned networks."""
    return (item for item in selection.structures if item.structure is not None and not item.pruned)


def agreement(scores: Sequence[float | None]) -> float:
    """Share of the restarts within `NEAR` nats of the best; diverged ones don't agree."""
    finite = [score for score in scores if score is not None]
    if not finite:
        return 0.0
    best = max(finite)
    return sum(score >= best - NEAR for score in finite) / len(scores)
