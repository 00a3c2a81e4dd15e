"""Before anything is trained on a cluster: are its workers there, of the same versions, with the same files?"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..errors import ClusterError
from ..train.program import can_compile
from .failures import in_one_line
from .machine import environment, threads_for_one_process

if TYPE_CHECKING:
    from distributed import Client

Answer = TypeVar("Answer")

LEAST_PATIENCE = 60.0
"""Seconds that workers may take to answer, at least: the first call imports torch."""

MOST_NAMED = 5
"""Workers that a message names."""


class Abilities(NamedTuple):
    """Whether there is CUDA, whether native code can be compiled, and the threads of one task."""

    cuda: bool
    compiles: bool
    threads: int


def wait_for_workers(client: Client, seconds: float) -> None:
    """Return once there is a worker; raises `ClusterError` where none comes in time."""
    deadline = time.monotonic() + seconds
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"no worker joined the scheduler within {seconds:g} s; start workers, or look at the queue, and run "
                "the same command again"
            )
        time.sleep(0.1)


def refuse_without_resources(client: Client, resources: Mapping[str, float]) -> None:
    """Raise `ClusterError` naming a resource that tasks need and no worker offers."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    for name, number in resources.items():
        best = max((worker.get("resources", {}).get(name, 0) for worker in workers), default=0)
        if best < number:
            raise ClusterError(
                f"training needs {number:g} of the resource {name}, and the most that any of {len(workers)} worker(s) "
                f"offers is {best:g}; start workers with --resources '{name}={number:g}', or change compute.device or "
                "the cluster file's resources"
            )


def answers(
    client: Client, seconds: float, function: Callable[..., Answer], *arguments: str
) -> dict[str, Answer | Exception]:
    """What a function returns on each worker, by address; an exception where it fails on one or the worker is lost.

    Raises `ClusterError` where there are no workers any more, or not all answer within so many seconds (at least
    `LEAST_PATIENCE`): Dask's client has no limit of its own for that.
    """
    arrived: queue.SimpleQueue[dict[str, Answer | Exception] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            arrived.put(client.run(function, *arguments, on_error="return"))
        except Exception as error:  # the caller's to raise
            arrived.put(error)

    threading.Thread(target=ask, daemon=True).start()
    patience = max(seconds, LEAST_PATIENCE)
    try:
        found = arrived.get(timeout=patience)
    except queue.Empty:
        workers = ", ".join(sorted(client.scheduler_info(n_workers=-1)["workers"])[:MOST_NAMED])
        raise ClusterError(
            f"not every worker answers within {patience:g} s; end those that hang, of {workers}, and run the same "
            "command again"
        ) from None
    if isinstance(found, Exception):
        raise ClusterError(f"the workers can't be asked: {in_one_line(found)}") from found
    if not found:
        raise ClusterError("the workers left before the run began; start workers, and run the same command again")
    return dict(found)


def refuse_other_versions(client: Client, seconds: float) -> list[str]:
    """Raise `ClusterError` with a table where a worker has another version of anything that numbers depend on.

    Returns the addresses of the workers that were compared, which answer within so many seconds.
    """
    found = answers(client, seconds, versions_here)
    there = client.scheduler_info(n_workers=-1)["workers"]
    rows, same = [], []
    for address, versions in sorted(found.items()):
        if not isinstance(versions, dict):
            if address not in there:  # it left while it was asked
                continue
            rows.append(f"  {address}: can't import structflow: {versions}")
            continue
        rows += [f"  {address}: {line}" for line in other_versions(versions, versions_here())]
        same.append(address)
    if rows:
        table = "\n".join(rows)
        raise ClusterError(
            f"workers have other versions than this process, and would compute other numbers:\n{table}\n"
            "install the same versions everywhere, and restart workers where code has changed"
        )
    return same


def other_versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """A line for everything that has one version on a worker and another where the run was started."""
    return [
        f"{name} {there.get(name, 'none')}; here {here.get(name, 'none')}"
        for name in sorted({*here, *there})
        if there.get(name) != here.get(name)
    ]


@cache
def versions_here() -> dict[str, str]:
    """Versions of what numbers depend on: Python, the packages, and every package that offers plugins.

    Of structflow and of these packages a digest of the code, too: development changes code but not its version.
    """
    from ..plugins.packages import plugin_sources, plugin_versions

    described = environment()
    return {"python": described.python, **described.versions, **plugin_versions(), **plugin_sources()}


def refuse_without_directory(client: Client, path: Path, seconds: float) -> None:
    """Raise `ClusterError` where a worker doesn't see the run directory: everything is read and written there."""
    seen = answers(client, seconds, os.path.isfile, str(path.resolve() / "plan.json"))
    blind = sorted(address for address, there in seen.items() if there is False)  # not one that is lost meanwhile
    if blind:
        raise ClusterError(
            f"worker(s) {', '.join(blind[:MOST_NAMED])} don't see the run directory {path.resolve()}; put it on a file "
            "system that all of them share (-o)"
        )


def abilities(client: Client, seconds: float) -> Abilities:
    """What all workers can do: the least of any."""
    found = [each for each in answers(client, seconds, abilities_here).values() if isinstance(each, Abilities)]
    if not found:
        raise ClusterError("the workers left before the run began; start workers, and run the same command again")
    return Abilities(*map(min, zip(*found, strict=True)))


def abilities_here() -> Abilities:
    """What this process can do."""
    import torch

    cuda = torch.cuda.is_available()
    return Abilities(cuda, can_compile("cuda" if cuda else "cpu"), threads_for_one_process())
