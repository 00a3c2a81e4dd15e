"""`structflow` in a process that gets a signal at the n-th time that it does something to files.

    python signalled.py SIGKILL link 3 run spec.yaml -o run

The moments are:

- `start`: just before the plan of a new run gets its name,
- `write`: just before a file of trained members is opened for writing,
- `chunk`: just after that, when its third byte has been written,
- `link`: just before a record is linked into place,
- `linked`: just after that.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from typing import Any

from structflow.cli import main

CHUNK_BYTES = 3

MEMBERS = r"\.[0-9a-f]{32}\.[0-9a-f]{12}\.npz\.[0-9a-f]{32}"
"""The name of a file of trained members until it is whole."""


def is_moment(moment: str, event: str, arguments: tuple[Any, ...], state: dict[str, Any]) -> bool:
    """Whether an audit event of Python is what is waited for."""
    name = str(arguments[0]) if arguments else ""  # within its folder, which is opened already
    if moment == "start":
        return event == "os.rename" and arguments[1] == "plan.json"
    if moment in ("write", "chunk"):
        return event == "open" and arguments[2] & os.O_CREAT != 0 and re.fullmatch(MEMBERS, name) is not None
    links = event == "os.link" and re.fullmatch(r"setting.*\.json", str(arguments[1])) is not None
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
