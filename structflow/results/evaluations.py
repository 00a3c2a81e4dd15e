"""What was found for the members of a run, from its records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext

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


def evaluations(context: RunContext, setting: int) -> Iterator[tuple[Task, dict[str, Any], int]]:
    """Every evaluated member of a setting: its task, what was found, and its number in the task's batch."""
    last = len(context.stages(setting)) - 1
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for slot in range(planned.slots):
            task = Task("evaluate", setting, round_index, last, slot)
            payload = context.directory.record(task.name).payload
            if not payload["empty"]:
                for number, member in enumerate(payload["members"]):
                    yield task, member, number


def entry_of(member: Mapping[str, Any], restarts: int, agreement: float) -> dict[str, Any]:
    """The entry of an evaluated member: what was found for it, and how many `restarts` there were and agreed.

    `report_convergence` replaces `convergence` and `noise_se` by what is reported of them.
    """
    return {
        "structure": member["structure"],
        **{key: member.get(key, {}) for key in FROM_EVALUATION},  # records of earlier versions lack some
        "convergence": member.get("convergence"),
        "noise_se": member.get("noise_se", member["score_se"]),
        "restarts": restarts,
        "restart_agreement": agreement,
    }
