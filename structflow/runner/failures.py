"""Tasks that failed while the others went on, and what is said of them at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ClusterError, StructflowError, TaskError
from ..plan.batching import Batch
from ..plan.plan import Plan
from ..plan.tasks import Task
from ..store.run_directory import RunDirectory
from .decided import decided_batch

FAILED = ""
"""Stands for the digest of a task that has no record."""

LONGEST_REASON = 300
"""Characters of an error that a warning shows."""

MOST_NAMED = 5
"""Structures of a failed batch that are named."""


@dataclass
class Failures:
    """What went wrong, by task."""

    errors: dict[str, Exception] = field(default_factory=dict)

    def add(self, task: str, error: Exception) -> None:
        """A task failed; the tasks that wait for it are not counted again."""
        self.errors.setdefault(task, error)

    def raise_any(self, directory: RunDirectory, plan: Plan) -> None:
        """Raise the first failure, with how far the run is; nothing where there is none."""
        if not self.errors:
            return
        name, error = next(iter(self.errors.items()))
        others = f" (and {len(self.errors) - 1} more task(s) failed)" if len(self.errors) > 1 else ""
        message = f"{error}{others}\n{how_far(directory, plan)}"
        if isinstance(error, ClusterError):
            raise ClusterError(message) from error
        if isinstance(error, StructflowError):
            raise TaskError(name, message, error.exit_code) from error
        raise error


def how_far(directory: RunDirectory, plan: Plan) -> str:
    """N of M tasks are committed; how to go on."""
    tasks = list(plan.tasks())
    done = sum(directory.is_committed(task.name) for task in tasks)
    return f"{done} of {len(tasks)} tasks are committed; the same command continues the run"


def explain(task: str, directory: RunDirectory, plan: Plan, memory_limit: int | None) -> str:
    """Why a task may keep killing its workers: its batch, what memory it was forecast to take, and what to try.

    `memory_limit` is that of the last worker in bytes, None where it had none.
    """
    batch = batch_of(task, directory, plan)
    message = f"workers kept dying while they did {task}"
    if batch is None:
        return message
    names = list(dict.fromkeys("relaxed" if m.structure is None else m.structure.canonical for m in batch.members))
    shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    smaller = max(1, len(batch.members) // 2)
    limit = f", and a worker may take {memory_limit / 2**20:,.0f} MiB in all" if memory_limit else ""
    return (
        f"{message}, whose {len(batch.members)} member(s) are of: {shown}. If they ran out of memory: a batch was "
        f"forecast to take {max(1, plan.batch_bytes / 2**20):,.0f} MiB beside the program's own{limit}; try --set "
        f"compute.members_per_batch={smaller}, fewer workers, or workers with more memory"
    )


def batch_of(task: str, directory: RunDirectory, plan: Plan) -> Batch | None:
    """The batch that a task trains or evaluates, if it does."""
    each = plan.by_name[task]
    decision = Task("decide", each.setting, each.round).name
    if each.kind not in ("train", "evaluate") or not directory.is_committed(decision):
        return None
    decided = decided_batch(directory, each)
    return None if decided is None else decided.batch


def in_one_line(error: BaseException) -> str:
    """The type of an error and its message, as one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:LONGEST_REASON] if message else type(error).__name__
