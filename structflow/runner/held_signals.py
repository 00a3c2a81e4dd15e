"""Signals to end (Ctrl-C, SIGTERM) that wait for a moment at which an exception does no harm.

A handler that raises does so wherever the main thread is: in a callback that Python calls when an object is destroyed,
which swallows the exception, or below C++ that then ends the process, as torch does while it compiles. So within a task
a handler only records the signal, and the task checks for it between steps.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Protocol, runtime_checkable

STORM = 2.0
"""Seconds after a signal in which further ones count as the same request: whoever ends processes may send many."""

Handler = Callable[[int, FrameType | None], object]


@runtime_checkable
class EndsCommand(Protocol):
    """A handler of a process that is a command, which may be ended without unwinding: what is stored is whole."""

    def at_once(self, number: int) -> None:
        """End the process, with words and the exit code of the signal."""


@dataclass
class HeldSignals:
    """The first signal that came while signals were held: its handler and number, and when it came."""

    clock: Callable[[], float] = time.monotonic
    asked: tuple[Handler, int] | None = None
    asked_at: float = 0.0
    between_steps: bool = False
    """Whether the next check is soon; else a message says that the signal was received."""

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold signals in the main thread, which alone hears them; end at the end of this where one came.

        A second signal after `STORM` ends a command at once; elsewhere, as in a notebook, its handler is called.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        own = {number: handler for number, handler in before.items() if callable(handler)}

        def note(number: int, frame: FrameType | None) -> None:
            handler = own[signal.Signals(number)]
            if self.asked is None:
                self.asked, self.asked_at = (handler, number), self.clock()
                if not self.between_steps:
                    with suppress(OSError):  # a stream may be in the middle of a line, and can't be written from here
                        os.write(2, b"\nending after what is being computed now; once more to end at once\n")
            elif self.clock() - self.asked_at > STORM:
                ending: object = handler
                if isinstance(ending, EndsCommand):
                    ending.at_once(number)
                handler(number, frame)

        for number in own:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.end_if_asked()

    def end_if_asked(self) -> None:
        """Call the handler of the signal that came, if one did; it raises."""
        if self.asked is not None:
            handler, number = self.asked
            self.asked = None
            handler(number, None)
