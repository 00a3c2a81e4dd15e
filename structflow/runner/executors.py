"""Where tasks run: in this process, or on the workers of a Dask cluster. Either does all it can before it gives up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import dask

from ..errors import CallError, ClusterError, StorageError
from ..plan.plan import Plan
from ..store.run_directory import RunDirectory
from ..train.program import can_compile
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
from .machine import resolve_device, threads_for_one_process
from .news import News
from .progress import Listener, listening
from .run_task import run_task
from .submission import Submission
from .worker_task import do_on_worker
from .worker_watch import WorkerWatch

if TYPE_CHECKING:
    from distributed import Future

Call = tuple[Callable[..., object], Submission, str, list[str]]
"""A function and its arguments, as Dask's graphs hold them; the last one are keys of other calls."""

BREATH = 0.1
"""Seconds between two looks at what is done."""


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
        known = refuse_other_versions(client, options.wait_seconds)
        able = abilities(client, options.wait_seconds)
        if wanted_device == "cuda" and not able.cuda:
            raise CallError("compute.device is cuda, but not every worker finds a CUDA device; set it to auto or cpu")
        device = "cuda" if wanted_device != "cpu" and able.cuda else "cpu"
        threads = options.threads if isinstance(options, Local) else able.threads
        site = Site(device, able.compiles, threads)

        def carry_out(directory: RunDirectory, plan: Plan, listener: Listener) -> None:
            refuse_without_directory(client, directory.path, options.wait_seconds)
            started_here = options.workers if isinstance(options, Local) else None
            watch = WorkerWatch(client, News(listener), resources, options.wait_seconds, known, started_here)
            run_on(directory, plan, watch)

        dashboard = None if isinstance(options, Local) and options.dashboard is None else client.dashboard_link
        yield Place(site, carry_out, dashboard)


def site_here(wanted_device: str) -> Site:
    """What this process offers; raises `CallError` for a device that isn't there."""
    device = resolve_device(wanted_device)
    return Site(device, can_compile(device), threads_for_one_process())


def task_graph(submission: Submission, plan: Plan, given_up: Collection[str]) -> dict[str, Call]:
    """The plan as a Dask graph, without tasks that were given up and what waits for them.

    For every key it holds the call, whose last argument are the keys of the parents. Only names and digests flow.
    """
    keys: dict[str, str] = {}
    graph: dict[str, Call] = {}
    for task in plan.by_name.values():
        name = task.name
        if name in given_up or any(parent.name not in keys for parent in task.parents):
            continue
        keys[name] = submission.key_of(task)
        graph[keys[name]] = (do_on_worker, submission, name, [keys[parent.name] for parent in task.parents])
    return graph


def taken_by(resources: Mapping[str, float], key: str) -> dict[str, float]:
    """Resources that a task takes on its worker: only training and evaluation take any, so a GPU has one at a time."""
    return dict(resources) if key.startswith(("train-", "evaluate-")) else {}


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


def run_on(directory: RunDirectory, plan: Plan, watch: WorkerWatch) -> None:
    """All tasks on the workers of a client. A task that loses its worker is done again on another, a few times.

    Dask gives up a task where workers that it waited on died too often, too. Such tasks are submitted once more.
    """
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    client, news, submission, failures = watch.client, watch.news, Submission.of(directory), Failures()
    client.subscribe_topic(submission.topic, news.of_the_run)
    client.subscribe_topic("all", news.of_the_cluster)
    while True:
        before = news.deaths.total()
        try:
            errors = run_wave(watch, submission, task_graph(submission, plan, failures.errors))
        except FutureCancelledError as lost:
            raise ClusterError(
                f"lost the scheduler at {client.scheduler.address}\n{how_far(directory, plan)}, with a scheduler that "
                "runs or in one process"
            ) from lost
        except ClusterError as unworkable:
            raise ClusterError(f"{unworkable}\n{how_far(directory, plan)}") from unworkable
        nobody_heard = news.deaths.total() == before
        bystanders = False
        for name, error in own_errors(plan, errors).items():
            if not isinstance(error, KilledWorker):
                failures.add(name, error)
            elif news.deaths[name] > error.allowed_failures or nobody_heard:
                failures.add(name, ClusterError(explain(name, directory, plan, error.last_worker.memory_limit)))
            else:
                bystanders = True
        if not bystanders:
            break
        submission = replace(submission, wave=submission.wave + 1)
    failures.raise_any(directory, plan)


def run_wave(watch: WorkerWatch, submission: Submission, graph: Mapping[str, Call]) -> dict[str, Exception]:
    """Do the tasks of a graph; returns the errors of tasks that failed, or that wait for one that did, by task.

    What a task returns stays where it is: its record has everything, and fetching each would take longer than the task.

    Raises `StorageError` at once, since no other task could be written either, Dask's `FutureCancelledError` where the
    scheduler is lost, and `ClusterError` where there are no workers to wait for.
    """
    from distributed.client import FutureCancelledError

    errors: dict[str, Exception] = {}
    resources = dict(watch.resources)
    with dask.annotate(resources=partial(taken_by, resources)) if resources else contextlib.nullcontext():
        futures = watch.client.get(dict(graph), list(graph), sync=False)
    try:
        for future in done_of(futures, watch):
            if future.status == "finished":
                continue
            try:
                future.result()
            except (FutureCancelledError, StorageError):
                raise
            except Exception as error:
                errors[submission.name_of(future.key)] = error
    finally:
        watch.client.cancel(futures)
    return errors


def done_of(futures: list[Future], watch: WorkerWatch) -> Iterator[Future]:
    """The futures as they are done; while none is, a look at the workers, which raises `ClusterError`."""
    from distributed import as_completed

    waiting = as_completed(futures)
    while not waiting.is_empty():
        found = waiting.next_batch(block=False)
        yield from found
        if not found:
            watch.look()
            time.sleep(BREATH)


def own_errors(plan: Plan, errors: Mapping[str, Exception]) -> dict[str, Exception]:
    """The errors of tasks that failed by themselves, in the order of the plan: those whose parents have none."""
    return {
        name: errors[name]
        for name, task in plan.by_name.items()
        if name in errors and not any(parent.name in errors for parent in task.parents)
    }
