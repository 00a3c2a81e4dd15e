"""What a scheduler tells of a run: how far its tasks are, and which workers were lost or left."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from .progress import Listener, Progress


@dataclass
class News:
    """Passes progress on to a listener, counts how often a task lost the worker that did it, and says so.

    Dask holds every task that waits on a lost worker for as suspicious as the one that was being done there. So workers
    say what they begin and end.
    """

    listener: Listener
    deaths: Counter[str] = field(default_factory=Counter)
    doing: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def of_the_run(self, event: tuple[Any, Any]) -> None:
        """Hear a worker; Dask adds its address to what it says."""
        message = event[1]
        if "begins" in message:
            self.doing[message["worker"]].add(message["begins"])
        elif "ends" in message:
            self.doing[message["worker"]].discard(message["ends"])
        elif "refused" in message:
            sys.stderr.write(
                f"warning: {message['refused']} has other versions than this process, and leaves without doing "
                f"anything: {', '.join(message['versions'])}\n"
            )
        else:
            self.listener(Progress(message["task"], message["steps"], message["finished"]))

    def of_the_cluster(self, event: tuple[Any, Any]) -> None:
        """Hear the scheduler, which knows of workers and not of runs."""
        message = event[1]
        if message.get("action") != "remove-worker":
            return
        worker = message["worker"]
        tasks = sorted(self.doing.pop(worker, ()))
        if message["expected"]:
            return
        for task in tasks:
            self.deaths[task] += 1
            sys.stderr.write(
                f"warning: worker {worker} was lost while it did {task} (attempt {self.deaths[task]}); "
                "the task is done again elsewhere\n"
            )
