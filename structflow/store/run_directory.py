"""A run directory: where everything of a run stands, and how it is written without being seen half-done."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StorageError
from .array_file import ArrayFile, load_arrays, save_arrays
from .digest import digest_of_arrays, digest_of_json
from .manifest import EarlierVersionError, read_listed, read_manifest
from .names import (
    ATTEMPTS,
    DATA,
    EARLIER,
    PLAN,
    RECORDS,
    RESULT,
    RESULT_MANIFEST,
    START_MANIFEST,
    SUMMARY,
)
from .own_folder import OwnFolder
from .sealed_json import sealed, unsealed

WITHOUT_REPAIR = (
    "the run was started with it, so it can't be recomputed: put back a copy of the file, or run the spec in a new "
    "directory (-o)"
)
"""What an error about a damaged file says last, where it is one that nothing can be recomputed without."""


@dataclass(frozen=True)
class Found:
    """What a task found: `payload` (JSON) and arrays, if any."""

    payload: dict[str, Any]
    arrays: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Record:
    """What a task committed: `payload` (JSON), the digest of payload and arrays, and the file of its arrays.

    `size`, `sha256` and `contents` prove that file. How many `seconds` it took and on which `worker` of a cluster is no
    part of the digest.
    """

    task: str
    payload: dict[str, Any]
    digest: str
    arrays: str | None
    arrays_digest: str
    size: int | None
    sha256: str | None
    contents: str | None
    seconds: float | None
    worker: str | None

    @property
    def array_file(self) -> ArrayFile:
        """What proves the file of its arrays; raises `ValueError` where it is no file of an attempt at its task."""
        if not re.fullmatch(rf"{ATTEMPTS}/{re.escape(self.task)}\.[0-9a-f]{{12}}\.npz", self.arrays or ""):
            raise ValueError(f"it names {self.arrays!r}; expected a file of {ATTEMPTS}/ that belongs to {self.task}")
        if self.size is None or self.sha256 is None or self.contents is None:
            raise ValueError("it lacks size or hash of its arrays")
        return ArrayFile(self.size, self.sha256, self.contents)


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run.

    `spec.yaml` as written, `resolved.yaml`, `environment.json`, `plan.json`, `data.npz` the prepared data,
    `source.json` where the rows of a table larger than memory are, `records/` one write-once JSON a finished task,
    `attempts/` the arrays of each attempt, `checkpoints/` of tasks that aren't finished, `result.zarr`, `summary.json`,
    `run.lock`, which whoever carries the run out holds, and `earlier/`, what there was before the run was extended.

    `top` is the run directory that holds this one among its earlier revisions. Every name below it, or below the run
    directory itself, is structflow's own, and no link is followed there.
    """

    path: Path
    top: Path | None = None

    @property
    def files(self) -> OwnFolder:
        """Its files."""
        return OwnFolder(self.path) if self.top is None else OwnFolder(self.top, f"{EARLIER}/{self.path.name}")

    def earlier(self, number: int | str) -> RunDirectory:
        """The directory of one of its earlier revisions."""
        return RunDirectory(self.path / EARLIER / str(number), self.path)

    @property
    def name(self) -> str:
        """Name of the run: that of its folder."""
        return self.path.resolve().name

    @property
    def identity(self) -> tuple[int, int, int]:
        """Tells this run from another one that was made at its path later: inode, time in ns and size of its plan."""
        state = self.files.state(PLAN)
        return state.st_ino, state.st_mtime_ns, state.st_size

    @property
    def result(self) -> Path:
        """The public results."""
        return self.path / RESULT

    @property
    def data(self) -> Path:
        """The prepared data, which an earlier revision has in common with the present one."""
        if self.top is not None:
            return self.top / DATA
        is_earlier = self.path.parent.name == EARLIER and not self.has(DATA)
        return (self.path.parent.parent if is_earlier else self.path) / DATA

    @property
    def remedy(self) -> str:
        """What an error about a damaged file says last, where it can be repaired."""
        return f"repair it with: structflow verify {self.top or self.path} --repair"

    def cant_be_repaired(self, error: Exception) -> StorageError:
        """The error for damage to what the run was started with."""
        return StorageError(
            f"{error}; {WITHOUT_REPAIR}; everything damaged is listed by: structflow verify {self.top or self.path}"
        )

    def create(self) -> None:
        """Make the folders; raises `StorageError` where that isn't allowed."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make the run directory {self.path}: {error.strerror or error}") from error
        for folder in (RECORDS, ATTEMPTS):
            self.files.make(folder)

    def write_text(self, name: str, text: str) -> None:
        """Write a file by way of a temporary neighbour and a rename."""
        with self.files.written(name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON; NaN becomes null."""
        self.write_text(name, json_text(value))

    def write_sealed(self, name: str, value: dict[str, Any]) -> None:
        """Write a file of JSON that no manifest lists: it proves by itself that it is what was written."""
        self.write_text(name, sealed(json_text(value)))

    def read_sealed(self, name: str) -> dict[str, Any]:
        """Read what `write_sealed` wrote; raises `StorageError` where it is missing or changed."""
        content = self.files.read(name)
        try:
            return unsealed(content)
        except ValueError as error:
            raise StorageError(f"{self.path / name} is damaged: {error}") from error

    def read_start_file(self, name: str) -> Any:
        """Read a JSON file of those the run was started with; raises `StorageError` unless it is what was written."""
        try:
            return json.loads(read_listed(self.files, START_MANIFEST, name))
        except EarlierVersionError:
            raise
        except (StorageError, ValueError) as error:
            raise self.cant_be_repaired(error) from error

    def read_summary(self) -> dict[str, Any]:
        """Read the summary; raises `StorageError` unless it is what was written."""
        try:
            summary: dict[str, Any] = json.loads(read_listed(self.files, RESULT_MANIFEST, SUMMARY))
        except EarlierVersionError:
            raise
        except (StorageError, ValueError) as error:
            raise StorageError(f"{error}; {self.remedy}") from error
        return summary

    def refuse_earlier_version(self) -> None:
        """Raise `EarlierVersionError` where the run was made by a version that stored arrays differently."""
        try:
            read_manifest(self.files, START_MANIFEST)
        except EarlierVersionError:
            raise
        except StorageError:  # damaged: whoever reads what it lists says so
            return

    def has(self, name: str) -> bool:
        """Whether a file or folder is there; raises `StorageError` for a link."""
        return self.files.has(name)

    def commit(self, task: str, found: Found, seconds: float | None = None, worker: str | None = None) -> Record:
        """Store what a task found, once: the first record stands, a later one of the same task is dropped.

        The arrays go into a file of this attempt alone; the record that names it is linked into place last, so a task
        is either recorded with everything or not at all.
        """
        payload, arrays, name = without_nan(found.payload), found.arrays, None
        proof: ArrayFile | None = None
        arrays_digest = digest_of_arrays(arrays or {})
        if arrays is not None:
            name = f"{ATTEMPTS}/{task}.{uuid.uuid4().hex[:12]}.npz"
            proof = save_arrays(self.files, name, arrays)
        record = Record(
            task,
            payload,
            record_digest(payload, arrays_digest),
            name,
            arrays_digest,
            None if proof is None else proof.size,
            None if proof is None else proof.sha256,
            None if proof is None else proof.contents,
            seconds,
            worker,
        )
        text = sealed(json.dumps(asdict(record), ensure_ascii=False, allow_nan=False))
        return record if self.files.write_once(f"{RECORDS}/{task}.json", text.encode()) else self.record(task)

    def record_file(self, task: str) -> Path:
        """Where the record of a task is, once it has one."""
        return self.path / RECORDS / f"{task}.json"

    def is_committed(self, task: str) -> bool:
        """Whether a task has its record."""
        return self.has(f"{RECORDS}/{task}.json")

    def record(self, task: str) -> Record:
        """The record of a finished task; raises `StorageError` if it is damaged."""
        name = f"{RECORDS}/{task}.json"
        try:
            record = Record(**self.read_sealed(name))
        except TypeError as error:
            raise StorageError(f"{self.path / name} is not a record: {error}; {self.remedy}") from error
        except StorageError as error:
            raise StorageError(f"{error}; {self.remedy}") from error
        if record.task != task:
            raise StorageError(f"{self.path / name} is the record of {record.task}; {self.remedy}")
        return record

    def arrays(self, record: Record, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray]:
        """The arrays of a record, or those of certain names, once they are what was written; raises `StorageError`."""
        if record.arrays is None:
            return {}
        try:
            expected = record.array_file
            if not self.has(record.arrays):
                raise StorageError(f"{self.path / record.arrays} is missing")
            return load_arrays(self.files, record.arrays, wanted, expected)[0]
        except ValueError as error:
            raise StorageError(f"{self.record_file(record.task)} is damaged: {error}; {self.remedy}") from error
        except StorageError as error:
            raise StorageError(f"{error}; {self.remedy}") from error


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
