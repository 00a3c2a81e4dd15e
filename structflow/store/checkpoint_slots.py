"""Checkpoints of a task that isn't finished: the newest two, each whole or not at all, in arrays and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StorageError
from .array_group import load_group, save_group
from .digest import digest_of_arrays
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
    def folder(self) -> Path:
        """Where they stand, one folder a checkpoint, named by its step."""
        return self.directory.path / "checkpoints" / self.task / self.part

    def newest(self) -> dict[str, np.ndarray] | None:
        """The arrays of the newest checkpoint that is whole; a damaged one is passed over."""
        for path in reversed(self._present()):
            try:
                return load_arrays(path)
            except StorageError:
                continue
        return None

    def save(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a checkpoint after so many steps, and of the older ones the newest."""
        path = self.folder / f"step-{step:012d}"
        if path.exists():  # of an attempt that went on from an earlier one: the numbers are the same
            return
        names = sorted(arrays)
        stored = {f"{index:04d}": arrays[name] for index, name in enumerate(names)}
        save_group(path, stored, {"names": names}, digest_of_arrays(arrays))
        for old in self._present()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def remove(self) -> None:
        """Remove them all: the task is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _present(self) -> list[Path]:
        """The checkpoints there are, oldest first."""
        return sorted(self.folder.glob("step-*"))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of one checkpoint; raises `StorageError` for anything that isn't one, whatever it holds."""
    return load_group(
        path,
        None,
        lambda stored, labels: dict(zip(labels["names"], stored.values(), strict=True)),
        digest_of_arrays,
    )
