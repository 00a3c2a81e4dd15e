"""The one function that executors call: a run directory and a task's name in, its name and digest out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import ClusterError, StorageError, StructflowError, TaskError
from ..plan.tasks import Task
from ..store.checkpoint_slots import CheckpointSlots
from .allocator import keep_large_blocks
from .context import RunContext, open_context
from .decide import decide
from .evaluate import evaluate
from .found import Found
from .held_signals import HeldSignals
from .interruption import TimedCheckpoints
from .progress import Progress, publish, worker_name
from .select import select
from .train_batch import train_batch


def run_task(path: str, name: str, parents: list[tuple[str, str]]) -> tuple[str, str]:
    """Do the task unless its record is there already.

    Everything is read from and written to the run directory; `parents` are the names and digests that the tasks
    before returned, and only make the scheduler wait for them.
    """
    context = open_context(path)
    identity = context.directory.identity
    if context.directory.is_committed(name):
        record = context.directory.record(name)
    else:
        started = time.perf_counter()
        keep_large_blocks()
        task = context.plan.by_name[name]
        slots = CheckpointSlots(context.directory, name)
        refuse_another_device(context, name)
        with threads(context.plan.execution.threads):
            found = attempt(context, task, slots)
        if context.directory.identity != identity:  # an extension was started meanwhile, with tasks of the same names
            raise StorageError(f"{context.directory.path} was started again during {name}; its result is dropped")
        record = found.commit(context, name, time.perf_counter() - started, worker_name())
        slots.remove()
    publish(Progress(name, 0, finished=True))
    return name, record.digest


def refuse_another_device(context: RunContext, task: str) -> None:
    """Raise `ClusterError` where this process can't do what the plan says."""
    if context.plan.execution.device == "cuda" and not torch.cuda.is_available():
        raise ClusterError(f"{task} was planned for a GPU, and there is none here; continue the run where there is one")


@contextmanager
def threads(number: int) -> Iterator[None]:
    """torch with so many threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attempt(context: RunContext, task: Task, slots: CheckpointSlots) -> Found:
    """Do one task; an error says which task it was, in a form that reaches the driver from any worker."""
    try:
        return perform(context, task, slots)
    except (StorageError, ClusterError):
        raise
    except StructflowError as error:
        raise TaskError(task.name, f"{task.name}: {error}", error.exit_code) from error


def perform(context: RunContext, task: Task, slots: CheckpointSlots) -> Found:
    """Do one task; training goes on from its newest checkpoint. Signals to end wait for the step, or for the task."""
    held = HeldSignals()
    with held.holding():
        if task.kind == "train":
            checkpoints = TimedCheckpoints(slots, context.study.spec.compute.checkpoint_seconds, held=held)
            return train_batch(context, task, lambda steps: publish(Progress(task.name, steps)), checkpoints)
        if task.kind == "evaluate":
            return evaluate(context, task)
        return Found(decide(context, task) if task.kind == "decide" else select(context, task))
