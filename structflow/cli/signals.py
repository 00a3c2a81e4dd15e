"""How signals end a command: by an exception, so that what is open is closed, and at once where that doesn't help."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

STORM = 2.0
"""Seconds after a signal in which further ones count as the same request, so that what is open can be closed."""


@dataclass
class Ending:
    """The handler of both signals; `began` is when the first of them raised its exception."""

    began: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise `SystemExit` for SIGTERM, `KeyboardInterrupt` for Ctrl-C; after a while a second one ends at once."""
        if self.began is not None:
            if time.monotonic() - self.began > STORM:
                self.at_once(number)
            return
        self.began = time.monotonic()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        os.write(2, f"\nterminated{self.continues}\n".encode())
        raise SystemExit(128 + number)

    def at_once(self, number: int) -> None:
        """End the process without unwinding: what is stored is whole at any moment."""
        word = "interrupted" if number == signal.SIGINT else "terminated"
        os.write(2, f"\n{word} at once{self.continues}\n".encode())
        os._exit(128 + number)

    @property
    def continues(self) -> str:
        """What to say about a command that can be continued."""
        from . import continues

        return continues(sys.argv)


def end_on_signals() -> None:
    """Hear SIGTERM, and Ctrl-C unless it is ignored, as in the background of a shell."""
    ending = Ending()
    signal.signal(signal.SIGTERM, ending)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, ending)
