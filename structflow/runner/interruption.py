"""Checkpoints by the clock, and one before the process ends because it was asked to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import numpy as np

from ..store.checkpoint_slots import CheckpointSlots

COST = 50
"""Between two checkpoints passes at least so many times what the last one took: they cost at most a fiftieth."""

Handler = Callable[[int, FrameType | None], Any]


@dataclass
class TimedCheckpoints:
    """Checkpoints of a task every `interval` seconds, or more rarely where they are dear.

    In the main thread the first signal to end (Ctrl-C, SIGTERM) that comes while steps are done is held until the state
    after the current one is written; the second ends the process at once.
    """

    slots: CheckpointSlots
    interval: float
    clock: Callable[[], float] = time.monotonic
    due_at: float = field(init=False)
    is_training: bool = False
    asked: tuple[Handler, int] | None = None

    def __post_init__(self) -> None:
        """Count from now."""
        self.due_at = self.clock() + self.interval

    def load(self) -> Mapping[str, np.ndarray] | None:
        """The newest checkpoint that is whole."""
        return self.slots.newest()

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the time has come, or the process was asked to end."""
        self.is_training = step < steps
        return self.asked is not None or (self.is_training and self.clock() >= self.due_at)

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint; then end where that was asked for."""
        started = self.clock()
        self.slots.save(step, arrays)
        self.due_at = self.clock() + max(self.interval, COST * (self.clock() - started))
        self._end_if_asked()

    def turn_to(self, part: str) -> None:
        """From here on the checkpoints are those of a part of the members, which stand apart."""
        self.slots = replace(self.slots, part=part)
        self.due_at = self.clock() + self.interval

    def let_go(self) -> None:
        """No steps follow for now: end where that was asked for, and hold no signal until they do."""
        self.is_training = False
        self._end_if_asked()

    @contextmanager
    def holding_signals(self) -> Iterator[None]:
        """Within it signals to end wait for the next checkpoint, once training steps are being done."""
        if threading.current_thread() is not threading.main_thread():  # signals are heard by the main thread alone
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        own = {number: handler for number, handler in before.items() if callable(handler)}

        def hold(number: int, frame: FrameType | None) -> None:
            if self.is_training and self.asked is None:
                self.asked = own[signal.Signals(number)], number
            else:
                own[signal.Signals(number)](number, frame)

        for number in own:
            signal.signal(number, hold)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_if_asked(self) -> None:
        if self.asked is not None:
            handler, number = self.asked
            self.asked = None
            handler(number, None)
