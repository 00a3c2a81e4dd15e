"""Worker processes of this machine that nobody else can use: throwaway TLS keys, and no HTTP.

Dask's `LocalCluster` takes commands from any process of the machine, so that any user of it could run code as the user
who trains, and its scheduler and workers serve pages over HTTP even without a dashboard.
"""

from __future__ import annotations

import logging

import dask
from distributed import Nanny, Scheduler, Security, SpecCluster, Worker
from distributed.system import MEMORY_LIMIT

from .cluster_options import Local

SELDOM = {
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.work-stealing-interval": "1s",
    "distributed.worker.profile.enabled": False,
}
"""How often a local cluster does its housekeeping: tasks take seconds, and what wakes up takes the core, and the
interpreter's lock, from training."""


class SchedulerWithoutHttp(Scheduler):  # type: ignore[misc]
    """A scheduler that serves no pages."""

    def start_http_server(self, *arguments: object, **options: object) -> None:
        """Leave it: Dask has no option for that."""


class WorkerWithoutHttp(Worker):  # type: ignore[misc]
    """A worker that serves no pages."""

    def start_http_server(self, *arguments: object, **options: object) -> None:
        """Leave it: Dask has no option for that."""


class KeeperWithoutHttp(Nanny):  # type: ignore[misc]
    """Starts a worker without pages in a process of its own, and another one where that ends."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, worker_class=WorkerWithoutHttp, **options)


def local_cluster(options: Local) -> SpecCluster:
    """Processes on this machine that nobody outside it, and no other process on it, can give commands to.

    The keys are made for each run and never written to a file. Each worker does one task at a time; `threads` is the
    number that torch's operations use within it. Only a dashboard that is asked for is served over HTTP, by the
    scheduler.
    """
    threads = str(options.threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    security = Security.temporary()
    common = {"host": "127.0.0.1", "protocol": "tls://", "security": security, "dashboard": False}
    scheduler = {"cls": SchedulerWithoutHttp, "options": {**common, "port": 0}}
    if options.dashboard is not None:
        shown = {**common, "port": 0, "dashboard": True, "dashboard_address": options.dashboard}
        scheduler = {"cls": Scheduler, "options": shown}
    worker = {
        "cls": KeeperWithoutHttp,
        "options": {
            **common,
            "nthreads": 1,
            "memory_limit": options.memory_limit or MEMORY_LIMIT // options.workers,
            "resources": dict(options.resources),
            "silence_logs": logging.CRITICAL,
        },
    }
    with dask.config.set(
        {
            **SELDOM,
            "distributed.scheduler.allowed-failures": options.deaths,
            "distributed.nanny.pre-spawn-environ": environment,
        }
    ):
        return SpecCluster(
            workers=dict.fromkeys(range(options.workers), worker),
            scheduler=scheduler,
            security=security,
            silence_logs=logging.CRITICAL,
        )
