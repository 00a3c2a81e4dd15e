"""What a scheduler tells of a run: how far its tasks are, and which workers were lost or left."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TypedDict

from .progress import Listener, Progress

MOST_WARNINGS = 3
"""Workers of the same other versions that are named; where one is restarted each time, there is no end of them."""


class WorkerMessage(TypedDict, total=False):
    """What a worker, whose address Dask adds, says of a run: what it begins, ends, has done, or why it leaves."""

    worker: str
    begins: str
    ends: str
    task: str
    steps: int
    finished: bool
    refused: str
    versions: list[str]


class ClusterMessage(TypedDict, total=False):
    """What a scheduler says of a worker that it lost or sent away."""

    action: str
    worker: str
    expected: bool


@dataclass
class News:
    """Passes progress on to a listener, counts how often a task lost the worker that did it, and says so.

    Dask holds every task that waits on a lost worker for as suspicious as the one that was being done there. So workers
    say what they begin and end.

    `accepted` are the addresses of workers that took a task, `refused` those of workers with other versions, each with
    its name and what differs. `heard` is when a worker last said something of the run (`time.monotonic`).
    """

    listener: Listener
    deaths: Counter[str] = field(default_factory=Counter)
    doing: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)

    def of_the_run(self, event: tuple[float, WorkerMessage]) -> None:
        """Hear a worker; Dask adds its address to what it says."""
        message = event[1]
        if "refused" in message:
            self.refuse(message["worker"], message["refused"], list(message["versions"]))
            return
        self.heard = time.monotonic()
        if "begins" in message:
            self.accepted.add(message["worker"])
            self.doing[message["worker"]].add(message["begins"])
        elif "ends" in message:
            self.doing[message["worker"]].discard(message["ends"])
        else:
            self.listener(Progress(message["task"], message["steps"], message["finished"]))

    def refuse(self, worker: str, described: str, versions: list[str]) -> None:
        """A worker has other versions, and leaves; it says so once for every task that it was given meanwhile."""
        if worker in self.refused:
            return
        self.refused[worker] = (described, versions)
        same = sum(found == versions for _, found in self.refused.values())
        if same > MOST_WARNINGS:
            return
        more = "; further ones like it are not named" if same == MOST_WARNINGS else ""
        sys.stderr.write(
            f"warning: {described} has other versions than this process, and leaves without doing anything: "
            f"{', '.join(versions)}{more}\n"
        )

    def of_the_cluster(self, event: tuple[float, ClusterMessage]) -> None:
        """Hear the scheduler, which knows of workers and not of runs."""
        message = event[1]
        if message.get("action") != "remove-worker":
            return
        worker = message["worker"]
        tasks = sorted(self.doing.pop(worker, ()))
        self.accepted.discard(worker)
        if message["expected"]:
            return
        for task in tasks:
            self.deaths[task] += 1
            sys.stderr.write(
                f"warning: worker {worker} was lost while it did {task} (attempt {self.deaths[task]}); "
                "the task is done again elsewhere\n"
            )
