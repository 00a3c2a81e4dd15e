"""What was found for the members of a run, from its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext
from ..runner.decided import trainings
from ..store.records import Convergence, EvaluateRecord, Evaluation

FROM_EVALUATION = (
    "score",
    "score_se",
    "log_evidence",
    "log_evidence_se",
    "evidence",
    "evidence_se",
    "evidence_missing",
    "evidence_unsure",
    "c_param",
    "c_struct",
    "relative_density",
    "hyperparameters",
    "metrics",
    "robustness",
)
"""What an evaluated member passes on to its entry, in the ranking or among the pruned networks."""


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


def entry_of(found: Found, restarts: int, agreement: float) -> dict[str, Any]:
    """The entry of an evaluated member: what was found for it, and how many `restarts` there were and agreed.

    `report_convergence` replaces `convergence` and `noise_se` by what is reported of them.
    """
    evaluation = found.evaluation.model_dump(mode="json")
    return {
        "structure": evaluation["structure"],
        **{key: evaluation[key] for key in FROM_EVALUATION},
        "convergence": found.convergence.model_dump(),
        "noise_se": evaluation["noise_se"],
        "restarts": restarts,
        "restart_agreement": agreement,
    }
