"""Where tasks run: in this process, or on the workers of a local Dask cluster."""

from __future__ import annotations

import logging
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
            client.subscribe_topic(TOPIC, lambda event: listener(progress_of(event[1])))
            futures = client.compute(task_graph(directory, plan))
            client.gather(futures)

    return run


@contextmanager
def local_client(workers: int) -> Iterator[Any]:
    """A client of a LocalCluster that listens on the loopback interface only and is closed before it is left."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ClusterError("--workers needs the package distributed: pip install 'structflow[cluster]'") from error
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
