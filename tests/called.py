"""The command line called in this process."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from structflow.cli import main


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


Cli = Callable[..., Called]


def call_main(*arguments: Any) -> Called:
    """What `structflow ARGUMENTS` prints and its exit code, through the program's own entry point."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    before, handlers = sys.argv, {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    sys.argv = ["structflow", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    finally:
        sys.argv = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Called(code, out.getvalue(), err.getvalue())
