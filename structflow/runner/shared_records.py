"""Records that every task of a round or of a setting needs: what was decided, and which restarts were picked.

They name every batch, so reading them in each task would take time that grows with the square of the tasks. A process
reads each of them once, and again where the file has changed. What is returned is shared and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar, cast

from ..plan.tasks import Task
from ..store.records import DecideRecord, Result, SelectRecord, Stored
from ..store.run_directory import RunDirectory

MOST_KEPT = 16
"""Records kept in memory at a time; a run with more rounds and settings has smaller ones."""

FileState = tuple[int, int, int]

Derived = TypeVar("Derived")


def decision_record(directory: RunDirectory, setting: int, round_index: int) -> DecideRecord:
    """What was decided for a round; raises `StorageError` where its decide task isn't done."""
    return derived(directory, Task("decide", setting, round_index), DecideRecord, itself)


def selection_record(directory: RunDirectory, setting: int) -> SelectRecord:
    """Which restarts of a setting were picked; raises `StorageError` where its select task isn't done."""
    return derived(directory, Task("select", setting), SelectRecord, itself)


def derived(directory: RunDirectory, task: Task, model: type[Result], derive: Callable[[Result], Derived]) -> Derived:
    """`derive` of the record of one of these tasks, computed once; a function of its module, not a closure."""
    return cast("Derived", derived_once(derive, directory, task.name, model, file_state(directory, task.name)))


def itself(record: Result) -> Result:
    """The record."""
    return record


def file_state(directory: RunDirectory, task: str) -> FileState:
    """Tells the file of a record from a later one of the same name: inode, time in ns and size; zeros without one."""
    try:
        state = directory.record_file(task).stat()
    except OSError:
        return 0, 0, 0
    return state.st_ino, state.st_mtime_ns, state.st_size


@lru_cache(maxsize=2 * MOST_KEPT)
def derived_once(
    derive: Callable[..., object], directory: RunDirectory, task: str, model: type[Stored], state: FileState
) -> object:
    """`derive` of the record in this state."""
    if derive is itself:
        return directory.read(task, model)
    return derive(derived_once(itself, directory, task, model, state))
