"""News of how far tasks are, from wherever they run to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker


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
    """Hear of tasks that this thread does."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def publish(progress: Progress) -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)


def worker_name() -> str | None:
    """The name of the Dask worker that this code runs on, or None."""
    worker = current_worker()
    return None if worker is None else str(worker.name)


def current_worker() -> Worker | None:
    """The Dask worker that this code runs on, or None."""
    import sys

    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
