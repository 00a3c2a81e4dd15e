"""A run directory: where everything of a run stands, and how it is written without being seen half-done."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StorageError
from .array_group import damaged, load_group, save_group
from .digest import digest_of_arrays, digest_of_json
from .manifest import digest_of_manifest, synchronise

EARLIER = "earlier"
"""The folder with what was opened and found before the run was extended, a run directory for each opening."""


@dataclass(frozen=True)
class Found:
    """What a task found: `payload` (JSON) and arrays, if any."""

    payload: dict[str, Any]
    arrays: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Record:
    """What a task committed: `payload` (JSON), the digest of payload and arrays, and the folder of its arrays.

    `manifest` is the SHA-256 of the folder's manifest, which names its files. How many `seconds` it took and on which
    `worker` of a cluster is no part of the digest.
    """

    task: str
    payload: dict[str, Any]
    digest: str
    arrays: str | None
    arrays_digest: str
    manifest: str | None
    seconds: float | None
    worker: str | None


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run.

    `spec.yaml` as written, `resolved.yaml`, `environment.json`, `plan.json`, `data/` the prepared data,
    `source.json` where the rows of a table larger than memory are, `records/` one write-once JSON a finished task,
    `attempts/` the arrays of each attempt, `checkpoints/` of tasks that aren't finished, `result.zarr`, `summary.json`,
    `run.lock`, which whoever carries the run out holds, and `earlier/`, what there was before the run was extended.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the run: that of its folder."""
        return self.path.resolve().name

    @property
    def opening(self) -> tuple[int, int, int]:
        """Tells this run from another one that was made at its path later: inode, time in ns and size of its plan."""
        try:
            state = (self.path / "plan.json").stat()
        except OSError as error:
            raise StorageError(f"can't read {self.path / 'plan.json'}: {error.strerror or error}") from error
        return state.st_ino, state.st_mtime_ns, state.st_size

    @property
    def result(self) -> Path:
        """The public results."""
        return self.path / "result.zarr"

    @property
    def data(self) -> Path:
        """The prepared data, which an earlier opening has in common with the present one."""
        own = self.path / "data"
        return self.path.parent.parent / "data" if self.path.parent.name == EARLIER and not own.exists() else own

    def create(self) -> None:
        """Make the folders; raises `StorageError` where that isn't allowed."""
        try:
            for folder in (self.path, self.path / "records", self.path / "attempts"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make the run directory {self.path}: {error.strerror or error}") from error

    def write_text(self, name: str, text: str) -> None:
        """Write a file by way of a temporary neighbour and a rename."""
        target = self.path / name
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with open(unfinished, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise StorageError(f"can't write {target}: {error.strerror or error}") from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON; NaN becomes null."""
        self.write_text(name, json_text(value))

    def read_json(self, name: str) -> Any:
        """Read a JSON file; raises `StorageError` if it isn't there or isn't JSON."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(f"can't read {self.path / name}: {error}") from error

    def has(self, name: str) -> bool:
        """Whether a file or folder is there."""
        return (self.path / name).exists()

    def commit(self, task: str, found: Found, seconds: float | None = None, worker: str | None = None) -> Record:
        """Store what a task found, once: the first record stands, a later one of the same task is dropped.

        The arrays go into a folder of this
        attempt alone; the record that names it is linked into place last, so a task is either recorded with
        everything or not at all.
        """
        folder: str | None = None
        manifest: str | None = None
        payload, arrays = without_nan(found.payload), found.arrays
        if arrays is not None:
            folder = f"attempts/{task}.{uuid.uuid4().hex[:12]}"
            names = sorted(arrays)
            stored = {f"{index:04d}": arrays[name] for index, name in enumerate(names)}
            save_group(self.path / folder, stored, {"names": names}, digest_of_arrays(arrays))
            manifest = digest_of_manifest(self.path / folder)
        arrays_digest = digest_of_arrays(arrays or {})
        record = Record(
            task, payload, record_digest(payload, arrays_digest), folder, arrays_digest, manifest, seconds, worker
        )
        target = self.record_file(task)
        unfinished = f"records/.{task}.{uuid.uuid4().hex[:12]}"
        self.write_text(unfinished, json.dumps(asdict(record), ensure_ascii=False, allow_nan=False))
        try:
            os.link(self.path / unfinished, target)
            synchronise(target.parent)
        except FileExistsError:
            return self.record(task)
        except OSError as error:
            raise StorageError(f"can't write {target}: {error.strerror or error}") from error
        finally:
            (self.path / unfinished).unlink()
        return record

    def record_file(self, task: str) -> Path:
        """Where the record of a task is, once it has one."""
        return self.path / "records" / f"{task}.json"

    def is_committed(self, task: str) -> bool:
        """Whether a task has its record."""
        return self.record_file(task).exists()

    def record(self, task: str) -> Record:
        """The record of a finished task; raises `StorageError` if it is damaged."""
        name = f"records/{task}.json"
        try:
            record = Record(**self.read_json(name))
            intact = record.digest == record_digest(record.payload, record.arrays_digest)
        except TypeError as error:
            raise StorageError(f"{self.path / name} is not a record: {error}") from error
        if not intact:
            raise damaged(self.path / name)
        return record

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays of a record, checked against their digest; raises `StorageError` if they are damaged."""
        if record.arrays is None:
            return {}
        arrays = load_group(
            self.path / record.arrays,
            None,
            lambda stored, attributes: dict(zip(attributes["names"], stored.values(), strict=True)),
            digest_of_arrays,
            record.manifest,
        )
        if digest_of_arrays(arrays) != record.arrays_digest:
            raise damaged(self.path / record.arrays)
        return arrays


def json_text(value: Any) -> str:
    """A value as a JSON file holds it; NaN becomes null."""
    return json.dumps(without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def record_digest(payload: dict[str, Any], arrays_digest: str) -> str:
    """The digest of a record."""
    return digest_of_json({"payload": payload, "arrays": arrays_digest})


def without_nan(value: Any) -> Any:
    """The same JSON value with null for NaN and infinities, and plain Python numbers for NumPy's."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
