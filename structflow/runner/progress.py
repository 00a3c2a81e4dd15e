"""News of how far tasks are, from wherever they run to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

TOPIC = "structflow-progress"
"""Dask topic on which workers publish."""


@dataclass(frozen=True)
class Progress:
    """Steps that a task has done; `finished` once its record is committed."""

    task: str
    steps: int
    finished: bool = False


Listener = Callable[[Progress], None]

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of tasks that run in this process."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def publish(progress: Progress) -> None:
    """Tell the listener of this process, or the scheduler if this is a Dask worker."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)
        return
    worker = current_worker()
    if worker is not None:
        worker.log_event(TOPIC, asdict(progress))


def progress_of(event: Mapping[str, Any]) -> Progress:
    """What a worker published; Dask adds keys of its own to the event."""
    return Progress(event["task"], event["steps"], event["finished"])


def worker_name() -> str | None:
    """The name of the Dask worker that this code runs on, or None."""
    worker = current_worker()
    return None if worker is None else str(worker.name)


def current_worker() -> Any:
    """The Dask worker that this code runs on, or None."""
    import sys

    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
