"""`structflow` in a process that gets a signal at the n-th time that it does something to files.

    python signalled.py SIGKILL link 3 run spec.yaml -o run

The moments are:

- `opening`: just before the plan of a new run gets its name,
- `write`: just before a file of an attempt is opened for writing,
- `chunk`: when the third byte of a chunk has been written,
- `link`: just before a record is linked into place,
- `linked`: just after that.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

from structflow.cli import main

CHUNK_BYTES = 3


def is_moment(moment: str, event: str, arguments: tuple[Any, ...], state: dict[str, Any]) -> bool:
    """Whether an audit event of Python is what is waited for."""
    path = str(arguments[0]) if arguments else ""
    written = event == "open" and isinstance(arguments[1], str) and ("w" in arguments[1] or "+" in arguments[1])
    if moment == "opening":
        return event == "os.rename" and str(arguments[1]).endswith("/plan.json")
    if moment == "write":
        return written and "/attempts/" in path
    if moment == "chunk":
        return written and "/attempts/" in path and "/c/" in path
    links = event == "os.link" and "/records/" in str(arguments[1])
    if moment == "link":
        return links
    if state.pop("linked", False):  # what comes first after it
        return True
    if links:
        state["linked"] = True
    return False


def signal_at(number: int, moment: str, count: int) -> None:
    """Send this process a signal at the given time of the moment."""
    state: dict[str, Any] = {"left": count}
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; only the main thread may change that
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if state["left"] == 0 or event not in ("open", "os.rename", "os.link"):
            return
        if not is_moment(moment, event, arguments, state):
            return
        state["left"] -= 1
        if state["left"] > 0:
            return
        if moment == "chunk" and number == signal.SIGKILL:  # the kernel ends the process in the middle of a write
            resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES, CHUNK_BYTES))
        else:
            os.kill(os.getpid(), number)

    sys.addaudithook(hook)


if __name__ == "__main__":
    name, moment, count, *rest = sys.argv[1:]
    sys.argv = ["structflow", *rest]
    signal_at(signal.Signals[name], moment, int(count))
    main()
