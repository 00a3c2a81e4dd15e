"""Records that every task of a round or of a setting needs: what was decided, and which restarts were picked.

They name every batch, so reading them in each task would take time that grows with the square of the tasks. A process
reads each of them once, and again where the file has changed. What is returned is shared and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from ..plan.tasks import Task
from ..store.run_directory import Record, RunDirectory

MOST_KEPT = 16
"""Records kept in memory at a time; a run with more rounds and settings has smaller ones."""

FileState = tuple[int, int, int]

Derived = TypeVar("Derived")


def decision_record(directory: RunDirectory, setting: int, round_index: int) -> Record:
    """What was decided for a round; raises `StorageError` where its decide task isn't done."""
    task = Task("decide", setting, round_index).name
    return read_once(directory, task, file_state(directory, task))


def selection_record(directory: RunDirectory, setting: int) -> Record:
    """Which restarts of a setting were picked; raises `StorageError` where its select task isn't done."""
    task = Task("select", setting).name
    return read_once(directory, task, file_state(directory, task))


def derived(directory: RunDirectory, record: Record, derive: Callable[[Any], Derived]) -> Derived:
    """`derive` of the payload of one of these records, computed once; a function of its module, not a closure."""
    found: Derived = derived_once(derive, directory, record.task, file_state(directory, record.task))
    return found


def file_state(directory: RunDirectory, task: str) -> FileState:
    """Tells the file of a record from a later one of the same name: inode, time in ns and size; zeros without one."""
    try:
        state = directory.record_file(task).stat()
    except OSError:
        return 0, 0, 0
    return state.st_ino, state.st_mtime_ns, state.st_size


@lru_cache(maxsize=MOST_KEPT)
def read_once(directory: RunDirectory, task: str, state: FileState) -> Record:
    """The record of a task whose file is in this state."""
    return directory.record(task)


@lru_cache(maxsize=MOST_KEPT)
def derived_once(derive: Callable[[Any], Any], directory: RunDirectory, task: str, state: FileState) -> Any:
    """`derive` of the payload of the record in this state."""
    return derive(read_once(directory, task, state).payload)
