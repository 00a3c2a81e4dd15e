"""Where tasks run: in this process, or on the workers of a Dask cluster. Either does all it can before it gives up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask

from ..errors import CallError, ClusterError, StorageError, TaskError
from ..plan.plan import Plan
from ..store.run_directory import RunDirectory
from .cluster_checks import (
    abilities,
    refuse_other_versions,
    refuse_without_directory,
    refuse_without_resources,
    wait_for_workers,
)
from .cluster_options import ClusterOptions, Local
from .clusters import connected
from .failures import FAILED, Failures, explain, how_far
from .machine import compiler_available, resolve_device, threads_for_one_process
from .progress import Listener, listening
from .run_task import run_task
from .submission import Submission
from .worker_task import do_on_worker


@dataclass(frozen=True)
class Site:
    """What the place where tasks run offers, which a plan is made for."""

    device: str
    compiles: bool
    threads: int


@dataclass(frozen=True)
class Place:
    """Somewhere that tasks run: what it offers, how it carries out a plan, and Dask's dashboard if there is one."""

    site: Site
    carry_out: Callable[[RunDirectory, Plan, Listener], None]
    dashboard: str | None = None


@contextmanager
def place_for(options: ClusterOptions | None, wanted_device: str) -> Iterator[Place]:
    """The place that the options describe, None for this process; a cluster is checked before anything is trained."""
    if options is None:
        yield Place(site_here(wanted_device), run_here)
        return
    with connected(options) as client:
        wait_for_workers(client, options.wait_seconds)
        resources = dict(options.resources)
        if wanted_device == "cuda":
            resources.setdefault("GPU", 1)
        refuse_without_resources(client, resources)
        refuse_other_versions(client)
        able = abilities(client)
        if wanted_device == "cuda" and not able["cuda"]:
            raise CallError("compute.device is cuda, but not every worker finds a CUDA device; set it to auto or cpu")
        device = "cuda" if wanted_device != "cpu" and able["cuda"] else "cpu"
        threads = options.threads if isinstance(options, Local) else able["threads"]
        site = Site(device, able["compiles"], threads)

        def carry_out(directory: RunDirectory, plan: Plan, listener: Listener) -> None:
            refuse_without_directory(client, directory.path)
            run_on(client, resources, directory, plan, listener)

        dashboard = None if isinstance(options, Local) and options.dashboard is None else client.dashboard_link
        yield Place(site, carry_out, dashboard)


def site_here(wanted_device: str) -> Site:
    """What this process offers; raises `CallError` for a device that isn't there."""
    device = resolve_device(wanted_device)
    return Site(device, compiler_available(device), threads_for_one_process())


def task_graph(submission: Submission, plan: Plan, resources: Mapping[str, float]) -> list[Any]:
    """The plan as Dask delayed tasks: the last ones, which depend on all others. Only names and digests flow.

    Training and evaluation take `resources` of a worker, so that a GPU has one population at a time.
    """
    nodes: dict[str, Any] = {}
    needed: set[str] = set()
    for task in plan.tasks():
        parents = [nodes[parent.name] for parent in task.parents]
        needed.update(parent.name for parent in task.parents)
        taken = dict(resources) if task.kind in ("train", "evaluate") else {}
        with dask.annotate(resources=taken) if taken else contextlib.nullcontext():
            nodes[task.name] = dask.delayed(do_on_worker)(
                submission, task.name, parents, dask_key_name=submission.key_of(task)
            )
    return [node for name, node in nodes.items() if name not in needed]


def run_here(directory: RunDirectory, plan: Plan, listener: Listener) -> None:
    """One task after another, in this process: no cluster, no server."""
    failures = Failures()

    def attempt(path: str, name: str, parents: list[tuple[str, str]]) -> tuple[str, str]:
        if any(digest == FAILED for _, digest in parents):
            return name, FAILED
        try:
            return run_task(path, name, parents)
        except StorageError:  # no other task could be written either
            raise
        except Exception as error:
            failures.add(name, error)
            return name, FAILED

    path = str(directory.path.resolve())
    found: dict[str, tuple[str, str]] = {}
    with listening(listener):
        for task in plan.tasks():
            found[task.name] = attempt(path, task.name, [found[parent.name] for parent in task.parents])
    failures.raise_any(directory, plan)


def run_on(
    client: Any, resources: Mapping[str, float], directory: RunDirectory, plan: Plan, listener: Listener
) -> None:
    """All tasks on the workers of a client. A task that loses its worker is done again on another, a few times."""
    from distributed import KilledWorker, as_completed
    from distributed.client import FutureCancelledError

    submission = Submission.of(directory)
    client.subscribe_topic(submission.topic, submission.news_for(listener))
    client.subscribe_topic("all", submission.warn_of_losses())
    failures = Failures()
    futures = client.compute(task_graph(submission, plan, resources))
    try:
        for future in as_completed(futures):
            try:
                future.result()
            except KilledWorker as error:
                task = submission.name_of(error.task)
                failures.add(task, ClusterError(explain(task, directory, plan, error.last_worker.memory_limit)))
            except FutureCancelledError as error:
                raise ClusterError(
                    f"lost the scheduler at {client.scheduler.address}\n{how_far(directory, plan)}, with a scheduler "
                    "that runs or in one process"
                ) from error
            except StorageError:
                raise
            except TaskError as error:
                failures.add(error.task, error)
            except Exception as error:
                failures.add(submission.name_of(future.key), error)
    finally:
        client.cancel(futures)
    failures.raise_any(directory, plan)
