"""Warnings about members whose objective became infinite or NaN while they were trained."""

from __future__ import annotations

from collections.abc import Sequence

from ..runner.context import RunContext
from ..runner.decided import trainings
from ..store.records import TrainRecord

BEFORE_TRAINING = (
    "the objective isn't finite where training starts, and no learning rate can change that: check the scales of the "
    "inputs, the targets, the noise and prior.weights.precision, or set data.standardize"
)
LATER = "try a smaller optimizer.inner.lr"


def divergence_warnings(context: RunContext, setting: int, diverged: int, members: int) -> list[str]:
    """What to say about `diverged` members out of all: when it happened, and what may help."""
    if not diverged:
        return []
    steps = steps_of_divergence(context, setting)
    at_start = sum(step == 0 for step in steps)
    left_out = f"{diverged} of {members} members diverged and were left out"
    if not at_start:
        return [f"{left_out}, the first at step {min(steps)}; {LATER}" if steps else f"{left_out}; {LATER}"]
    if at_start == len(steps):
        return [f"{left_out}, at step 0: {BEFORE_TRAINING}"]
    return [f"{left_out}, {at_start} of them at step 0: {BEFORE_TRAINING}; for the others {LATER}"]


def steps_of_divergence(context: RunContext, setting: int) -> Sequence[int]:
    """The step of its stage at which each diverged member did, counted from 0."""
    records = (context.directory.read(task.name, TrainRecord) for task in trainings(context.plan, setting))
    return [member.diverged_at for record in records for member in record.members if member.diverged_at >= 0]
