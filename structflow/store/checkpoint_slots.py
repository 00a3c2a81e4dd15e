"""Checkpoints of a task that isn't finished: the newest two, each whole or not at all, in arrays and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StorageError
from .array_file import load_arrays, save_arrays
from .names import CHECKPOINT_FILE, CHECKPOINTS
from .own_folder import OwnFolder
from .removal import is_checkpoint, remove_own
from .run_directory import RunDirectory

KEPT = 2
"""A checkpoint is removed only once two newer ones are whole."""


@dataclass(frozen=True)
class CheckpointSlots:
    """The checkpoints of one task in a run directory; of a `part` of what it trains, where one is named."""

    directory: RunDirectory
    task: str
    part: str = ""

    @property
    def files(self) -> OwnFolder:
        """Where they stand, one file a checkpoint, named by its step."""
        return self.directory.files.within(f"{CHECKPOINTS}/{self.task}/{self.part}")

    @property
    def folder(self) -> Path:
        """The path of that folder."""
        return self.files.path

    def newest(self) -> dict[str, np.ndarray] | None:
        """The arrays of the newest checkpoint that is whole; a damaged one is passed over."""
        for name in reversed(self._present()):
            try:
                return load_arrays(self.files, name)[0]
            except StorageError:
                continue
        return None

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a checkpoint after so many steps, and of the older ones the newest."""
        name = f"step-{step:012d}.npz"
        if self.files.has(name):  # of an attempt that went on from an earlier one: the numbers are the same
            return
        self.files.make("")
        save_arrays(self.files, name, arrays)
        for old in self._present()[:-KEPT]:
            self.files.unlink(old)

    def remove(self) -> None:
        """Remove them all: the task is finished."""
        remove_own(self.directory.files, f"{CHECKPOINTS}/{self.task}/{self.part}", is_checkpoint)

    def _present(self) -> list[str]:
        """The checkpoints there are, oldest first."""
        return [entry.name for entry in self.files.entries() if CHECKPOINT_FILE.fullmatch(entry.name)]
