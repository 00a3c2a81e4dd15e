"""A run directory: where everything of a run stands, and how it is written without being seen half-done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from ..errors import StorageError
from .digest import digest_of_json
from .entries import EntryStore, EvaluationEntry, Index, MemberEntry
from .manifest import EarlierVersionError, read_listed, read_manifest
from .names import (
    DATA,
    EARLIER,
    EVALUATIONS,
    MEMBERS,
    PLAN,
    RECORDS,
    RESULT,
    RESULT_MANIFEST,
    START_MANIFEST,
    SUMMARY,
)
from .own_folder import OwnFolder
from .records import Result, Stored
from .sealed_json import sealed, unsealed

WITHOUT_REPAIR = (
    "the run was started with it, so it can't be recomputed: put back a copy of the file, or run the spec in a new "
    "directory (-o)"
)
"""What an error about a damaged file says last, where it is one that nothing can be recomputed without."""


class Record(Stored):
    """What a task committed, as JSON (`payload`), and the digest of that.

    How many `seconds` it took and on which `worker` of a cluster is no part of the digest.
    """

    task: str
    payload: JsonValue
    digest: str
    seconds: float | None
    worker: str | None


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run.

    `spec.yaml` as written, `resolved.yaml`, `environment.json`, `plan.json`, `data.npz` the prepared data,
    `source.json` where the rows of a table larger than memory are, `records/` one write-once JSON a finished task,
    `members/` and `evaluations/` what was trained and what was found of it, by key, `checkpoints/` of tasks that aren't
    finished, `result.zarr`, `summary.json`, `run.lock`, which whoever carries the run out holds, and `earlier/`, what
    there was before the run was extended.

    `top` is the run directory that holds this one among its earlier revisions, which have data, members and evaluations
    in common. Every name below it, or below the run directory itself, is structflow's own, and no link is followed
    there.
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
    def shared(self) -> Path:
        """The run directory that holds what this revision has in common with others."""
        if self.top is not None:
            return self.top
        is_earlier = self.path.parent.name == EARLIER and not self.has(DATA)
        return self.path.parent.parent if is_earlier else self.path

    @property
    def data(self) -> Path:
        """The prepared data."""
        return self.shared / DATA

    @property
    def members(self) -> EntryStore[MemberEntry]:
        """The trained members."""
        return EntryStore(OwnFolder(self.shared), MEMBERS, Index[MemberEntry], self.remedy)

    @property
    def evaluations(self) -> EntryStore[EvaluationEntry]:
        """What was found of members."""
        return EntryStore(OwnFolder(self.shared), EVALUATIONS, Index[EvaluationEntry], self.remedy)

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
        for folder in (RECORDS, MEMBERS, EVALUATIONS):
            self.files.make(folder)

    def write_text(self, name: str, text: str) -> None:
        """Write a file by way of a temporary neighbour and a rename."""
        with self.files.written(name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON; NaN becomes null."""
        self.write_text(name, json_text(value))

    def write_sealed(self, name: str, value: Mapping[str, JsonValue]) -> None:
        """Write a file of JSON that no manifest lists: it proves by itself that it is what was written."""
        self.write_text(name, sealed(json_text(value)))

    def read_sealed(self, name: str) -> dict[str, JsonValue]:
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

    def read_summary(self) -> dict[str, JsonValue]:
        """Read the summary; raises `StorageError` unless it is what was written."""
        try:
            summary: dict[str, JsonValue] = json.loads(read_listed(self.files, RESULT_MANIFEST, SUMMARY))
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

    def commit(self, task: str, result: Stored, seconds: float | None = None, worker: str | None = None) -> Record:
        """Store what a task found, once: the first record stands, a later one of the same task is dropped."""
        payload = json.loads(result.model_dump_json())
        digest = digest_of_json(payload)
        record = Record(task=task, payload=payload, digest=digest, seconds=seconds, worker=worker)
        text = sealed(json.dumps(record.model_dump(), ensure_ascii=False, allow_nan=False))
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
            record = Record.model_validate(self.read_sealed(name))
        except StorageError as error:
            raise StorageError(f"{error}; {self.remedy}") from error
        except ValueError as error:
            raise StorageError(f"{self.path / name} is not a record: {error}; {self.remedy}") from error
        if record.task != task:
            raise StorageError(f"{self.path / name} is the record of {record.task}; {self.remedy}")
        return record

    def read(self, task: str, model: type[Result]) -> Result:
        """What a finished task found; raises `StorageError` if its record is damaged, or of another kind."""
        try:
            return model.model_validate(self.record(task).payload)
        except ValueError as error:
            raise StorageError(
                f"{self.record_file(task)} isn't a record of its task: {error}; {self.remedy}"
            ) from error


def json_text(value: Any) -> str:
    """A value as a JSON file holds it; NaN becomes null."""
    return json.dumps(without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
