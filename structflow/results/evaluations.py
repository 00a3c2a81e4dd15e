"""What was found for the members of a run, from its records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext


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
