"""Checkpoints by the clock, and one before the process ends because it was asked to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..store.checkpoint_slots import CheckpointSlots
from .held_signals import HeldSignals

COST = 50
"""Between two checkpoints passes at least so many times what the last one took: they cost at most a fiftieth."""


@dataclass
class TimedCheckpoints:
    """Checkpoints of a task every `interval` seconds, or more rarely where they are expensive.

    A signal to end (Ctrl-C, SIGTERM) that is `held` waits until the state after the current step is written.
    """

    slots: CheckpointSlots
    interval: float
    clock: Callable[[], float] = time.monotonic
    due_at: float = field(init=False)
    held: HeldSignals = field(default_factory=HeldSignals)

    def __post_init__(self) -> None:
        """Count from now."""
        self.due_at = self.clock() + self.interval

    def load(self) -> Mapping[str, np.ndarray] | None:
        """The newest checkpoint that is whole."""
        return self.slots.newest()

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the time has come, or the process was asked to end."""
        self.held.between_steps = step < steps
        return self.held.asked is not None or (self.held.between_steps and self.clock() >= self.due_at)

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint; then end where that was asked for."""
        started = self.clock()
        self.slots.save(step, arrays)
        self.due_at = self.clock() + max(self.interval, COST * (self.clock() - started))
        self.held.end_if_asked()

    def turn_to(self, part: str) -> None:
        """From here on the checkpoints are those of a part of the members, which stand apart."""
        self.slots = replace(self.slots, part=part)
        self.due_at = self.clock() + self.interval

    def let_go(self) -> None:
        """No steps follow for now: end here if a signal asked for it."""
        self.held.between_steps = False
        self.held.end_if_asked()
