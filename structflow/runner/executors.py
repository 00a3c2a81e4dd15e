"""Where tasks run: in this process, or on the workers of a local Dask cluster."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask

from ..errors import ClusterError
from ..plan.plan import Plan
from ..store.run_directory import RunDirectory
from .progress import TOPIC, Listener, listening, progress_of
from .run_task import run_task

Executor = Callable[[RunDirectory, Plan, Listener], None]


def task_graph(directory: RunDirectory, plan: Plan) -> list[Any]:
    """The plan as Dask delayed tasks: the last ones, which depend on all others. Only names and digests flow."""
    path = str(directory.path.resolve())
    nodes: dict[str, Any] = {}
    needed: set[str] = set()
    for task in plan.tasks():
        parents = [nodes[parent.name] for parent in task.parents]
        needed.update(parent.name for parent in task.parents)
        nodes[task.name] = dask.delayed(run_task)(path, task.name, parents, dask_key_name=task.name)
    return [node for name, node in nodes.items() if name not in needed]


def run_here(directory: RunDirectory, plan: Plan, listener: Listener) -> None:
    """One task after another, in this process: no cluster, no server."""
    with listening(listener):
        dask.compute(*task_graph(directory, plan), scheduler="synchronous")


def on_local_workers(workers: int) -> Executor:
    """An executor that starts `workers` processes of one thread each on this machine."""

    def run(directory: RunDirectory, plan: Plan, listener: Listener) -> None:
        with local_client(workers) as client:
            from distributed import KilledWorker, as_completed

            client.subscribe_topic(TOPIC, lambda event: listener(progress_of(event[1])))
            futures = client.compute(task_graph(directory, plan))
            try:
                for future in as_completed(futures):  # `gather` would leave its own errors behind when interrupted
                    future.result()
            except KilledWorker as error:
                raise ClusterError(
                    f"workers died while they did {error.task}, which may need more memory than there is: "
                    "lower compute.members_per_batch or use fewer workers; the same command continues the run"
                ) from error

    return run


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes that are started here don't hear Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may change handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def local_client(workers: int) -> Iterator[Any]:
    """A client of a LocalCluster that listens on the loopback interface only and is closed before it is left."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ClusterError("--workers needs the package distributed: pip install 'structflow[cluster]'") from error
    with interrupts_ignored():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.ERROR,
        )
    client = Client(cluster)
    try:
        yield client
    finally:
        client.close()
        cluster.close()
