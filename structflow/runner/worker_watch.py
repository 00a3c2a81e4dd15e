"""Ends a run on a cluster whose workers have all gone, or can't take its tasks: it would wait without end."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from ..errors import ClusterError
from .news import News

if TYPE_CHECKING:
    from distributed import Client

INTERVAL = 2.0
"""Seconds without news of the run after which the scheduler is asked for its workers; then it is asked as often."""

MOST_REFUSED = 3
"""Workers that may be refused, while none can take tasks, before one that has just joined isn't waited for any more."""

SAME_VERSIONS = (
    "install the same versions everywhere and restart workers where code has changed; if the code of this machine "
    "changed after the command was started, give the same command again"
)


class WorkerMetrics(TypedDict, total=False):
    """How many tasks a worker has, by their states."""

    task_counts: dict[str, int]


class WorkerState(TypedDict, total=False):
    """A worker as Dask's scheduler describes it."""

    status: str
    resources: dict[str, float]
    memory_limit: int | None
    metrics: WorkerMetrics


@dataclass
class WorkerWatch:
    """Looks after the workers of a run while its tasks are waited for.

    A worker can take tasks if it offers the `resources`, has the same versions as this process and isn't paused for
    lack of memory. `known` are the addresses of workers whose versions were compared; the others are compared when
    they get their first task. `started_here` is the number of workers that this process keeps, None for a cluster
    whose workers come and go; a worker that is refused isn't started again.
    """

    client: Client
    news: News
    resources: Mapping[str, float]
    patience: float
    known: Collection[str] = ()
    started_here: int | None = None
    since: float = field(default_factory=time.monotonic)
    refused_before: int = 0
    asked: float = 0.0

    def look(self) -> None:
        """Raise `ClusterError` where no worker has been able to take tasks for `patience` seconds.

        Also where nobody will come back, or where workers come and are refused again and again.
        """
        now, heard = time.monotonic(), self.news.heard
        if heard > self.since:
            self.since, self.refused_before = heard, len(self.news.refused)
        if now - max(heard, self.asked) < INTERVAL:
            return
        self.asked = now
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        able = {address for address, worker in workers.items() if self.can_take_tasks(worker)} - {*self.news.refused}
        busy = {address for address, tasks in list(self.news.doing.items()) if tasks and address in workers}
        if busy or able & {*self.known, *self.news.accepted}:
            self.since, self.refused_before = now, len(self.news.refused)
            return
        refused = list(self.news.refused.values())
        if self.started_here is not None and len(refused) >= self.started_here and not workers:
            raise ClusterError(self.every_worker_was_refused(refused))
        refused = refused[self.refused_before :]
        if now - self.since < self.patience or (able and len(refused) < MOST_REFUSED):
            return
        raise ClusterError(self.every_worker_was_refused(refused) if refused else self.nobody_can(workers))

    def can_take_tasks(self, worker: WorkerState) -> bool:
        """Whether a worker, as the scheduler describes it, offers what training takes and isn't short of memory."""
        offers = all(worker.get("resources", {}).get(name, 0) >= number for name, number in self.resources.items())
        return offers and not is_stuck(worker)

    def every_worker_was_refused(self, refused: list[tuple[str, list[str]]]) -> str:
        """What is said where workers had other versions, each given by its name and its lines of versions."""
        lines = "\n".join(dict.fromkeys(f"  {line}" for _, versions in refused for line in versions))
        last = f"the last {len(refused)}" if len(refused) > 1 else "the last one"
        return (
            f"no worker is left: {last} had other versions than this process, and would compute other numbers:\n"
            f"{lines}\n{SAME_VERSIONS}"
        )

    def nobody_can(self, workers: Mapping[str, WorkerState]) -> str:
        """What is said where there is no worker, or none that can take tasks."""
        waited = f"for {self.patience:g} s"
        if not workers:
            return f"no worker has been there {waited}: all have left; start workers, or look at the queue"
        stuck = sum(is_stuck(worker) for worker in workers.values())
        if stuck:
            limits = sorted({int(worker.get("memory_limit") or 0) >> 20 for worker in workers.values()})
            return (
                f"no worker has taken a task {waited}: {stuck} of {len(workers)} use too much of their memory (a limit "
                f"of {' or '.join(f'{limit:,}' for limit in limits)} MiB) to take one; give them more (memory_limit), "
                "or start fewer workers"
            )
        wanted = ", ".join(f"{name}={number:g}" for name, number in self.resources.items())
        return (
            f"none of {len(workers)} worker(s) has offered {wanted} {waited}, which training needs; start workers with "
            f"--resources '{wanted}'"
        )


def is_stuck(worker: WorkerState) -> bool:
    """Whether a worker is paused, as Dask has it where 80 % of the memory is used, and does nothing that would end."""
    return worker.get("status") == "paused" and not worker.get("metrics", {}).get("task_counts", {}).get("executing")
