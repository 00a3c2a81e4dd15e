"""What a task found: its record, and the entries that the record names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..store.entries import Arrays, Entry
from ..store.inspection import entry_stores
from ..store.names import EVALUATIONS, MEMBERS
from ..store.records import Stored
from ..store.run_directory import Record
from .context import RunContext

FOLDERS = {"train": MEMBERS, "evaluate": EVALUATIONS}
"""Where entries go, by kind of task."""


@dataclass(frozen=True)
class Found:
    """A record, and new entries with their arrays."""

    record: Stored
    entries: Sequence[Entry] = ()
    arrays: Sequence[Arrays] = ()

    def commit(self, context: RunContext, task: str, seconds: float, worker: str | None) -> Record:
        """Store the entries and last the record, which says that all is there."""
        if self.entries:
            store = entry_stores(context.directory)[FOLDERS[task.rpartition("-")[2]]]
            store.write(self.entries, self.arrays, context.revision)
        return context.directory.commit(task, self.record, seconds, worker)
