"""What was found for the members of a run, from its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..plan.tasks import Task
from ..runner.context import RunContext
from ..runner.decided import trainings
from ..store.records import Convergence, EvaluateRecord, Evaluation, Scored
from .models import BestRestart


@dataclass(frozen=True)
class Found:
    """An evaluated member: the task that evaluated it, the key of its evaluation, what was found, and convergence."""

    task: Task
    key: str
    evaluation: Evaluation
    convergence: Convergence


def evaluations(context: RunContext, setting: int) -> Iterator[Found]:
    """Every evaluated member of a setting."""
    for task, record in evaluate_records(context, setting):
        entries = context.directory.evaluations.read([member.evaluation for member in record.members])
        for member, entry in zip(record.members, entries, strict=True):
            yield Found(task, entry.key, entry.found, member.convergence)


def evaluate_records(context: RunContext, setting: int) -> Iterator[tuple[Task, EvaluateRecord]]:
    """The record of every evaluation of a setting, with its task."""
    for training in trainings(context.plan, setting):
        task = replace(training, kind="evaluate")
        yield task, context.directory.read(task.name, EvaluateRecord)


def best_restart(evaluation: Evaluation, restarts: int, agreement: float) -> BestRestart:
    """What was found of an evaluated member, and how many `restarts` there were and agreed."""
    found = {name: getattr(evaluation, name) for name in Scored.model_fields}
    return BestRestart(**found, restarts=restarts, restart_agreement=agreement)
