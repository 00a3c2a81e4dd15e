"""What in a run directory is damaged, and what nobody needs any more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StorageError
from .array_file import is_as_written
from .digest import digest_of_arrays
from .manifest import damaged_files, manifest_text, read_manifest
from .names import (
    ATTEMPT_FILE,
    ATTEMPTS,
    CHECKPOINTS,
    DATA,
    DATA_MANIFEST,
    PLAN,
    RECORD_FILE,
    RECORDS,
    RESULT,
    RESULT_MANIFEST,
    START_FILES,
    START_MANIFEST,
    SUMMARY,
    TASK_NAME,
    TOP_FILES,
    finished_name,
)
from .own_folder import Entry, OwnFolder
from .removal import files_below, is_checkpoint, is_of_zarr, own_files, refuse_others, remove_own
from .run_directory import Record, RunDirectory, json_text, record_digest


@dataclass(frozen=True)
class Damage:
    """A part of a run that isn't what was written: a `task`, the `results`, or what the run started with (`opened`).

    Or something of an `earlier` revision, which the run doesn't depend on.
    """

    part: str
    task: str | None
    message: str
    is_of_data: bool = False


@dataclass(frozen=True)
class Leftover:
    """A file, or a folder with all that structflow wrote there, by its path in the run directory: nobody needs it."""

    directory: RunDirectory
    name: str
    size: int

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory.path / self.name

    def remove(self) -> None:
        """Remove it; raises `StorageError` where that isn't allowed."""
        files = self.directory.files
        if files.kind(self.name) == "folder":
            is_own = is_checkpoint if self.name.startswith(f"{CHECKPOINTS}/") else is_of_zarr
            remove_own(files, self.name, is_own)
        else:
            files.unlink(self.name)


def seal_start(directory: RunDirectory, plan: str) -> None:
    """Write the manifest of what the run is started with, whose plan, which comes last, will have this text."""
    others = [name for name in START_FILES if name != PLAN]
    directory.write_text(START_MANIFEST, manifest_text(directory.files, others, {PLAN: plan}))


def publish_summary(directory: RunDirectory, summary: dict[str, Any]) -> None:
    """Write the summary, which comes last and says that all results are there, and before it their manifest."""
    text = json_text(summary)
    result = [f"{RESULT}/{name}" for name, _ in files_below(directory.files, RESULT)]
    directory.write_text(RESULT_MANIFEST, manifest_text(directory.files, result, {SUMMARY: text}))
    directory.write_text(SUMMARY, text)


def withdraw_results(directory: RunDirectory) -> None:
    """Remove the public results, which the records can always be turned into again; the summary goes first."""
    refuse_others(directory.files, RESULT, is_of_zarr)
    for name in (SUMMARY, RESULT_MANIFEST):
        directory.files.unlink(name)
    remove_own(directory.files, RESULT, is_of_zarr)


def withdraw_record(directory: RunDirectory, task: str) -> None:
    """Remove the record of a task and its attempts, so that the next run does it again."""
    directory.files.unlink(f"{RECORDS}/{task}.json")
    for entry in attempts(directory, task):
        directory.files.unlink(f"{ATTEMPTS}/{entry.name}")


def refuse_damaged_results(directory: RunDirectory) -> None:
    """Raise `StorageError` naming the first file of the public results that isn't what was written."""
    for message in damage_of_results(directory):
        raise StorageError(f"{message}; {directory.remedy}")


def damage(directory: RunDirectory) -> Iterator[Damage]:
    """Everything in the run directory that isn't what was written, each with the very file."""
    if directory.has(PLAN) or directory.has(START_MANIFEST):
        for message in damaged_files(directory.files, START_MANIFEST, START_FILES):
            yield Damage("opened", None, message)
    if directory.has(PLAN):
        for message in damaged_files(OwnFolder(directory.data.parent), DATA_MANIFEST, (DATA,)):
            yield Damage("opened", None, message, is_of_data=True)
    for task in recorded(directory):
        yield from damage_of_record(directory, task)
    if directory.has(SUMMARY) or directory.has(RESULT_MANIFEST):
        for message in damage_of_results(directory):
            yield Damage("results", None, message)


def damage_of_results(directory: RunDirectory) -> list[str]:
    """What is wrong with the files of the public results, a line each.

    A chunk that was never written is read as zeros, so one that was added is as bad as one that was lost.
    """
    messages = damaged_files(directory.files, RESULT_MANIFEST, (SUMMARY,))
    try:
        listed = read_manifest(directory.files, RESULT_MANIFEST)
        for path, entry in files_below(directory.files, RESULT):
            name = f"{RESULT}/{path}"
            if name not in listed and (entry.kind == "link" or is_of_zarr(path)):
                messages.append(f"{directory.path / name} was added to the results")
    except StorageError as error:
        messages = messages or [str(error)]
    return messages


def damage_of_record(directory: RunDirectory, task: str) -> Iterator[Damage]:
    """What is wrong with a record or with the arrays it names."""
    try:
        record = directory.record(task)
        if record.digest != record_digest(record.payload, record.arrays_digest):
            raise StorageError(f"{directory.record_file(task)} has a digest that isn't that of its content")
        refuse_damaged_arrays(directory, record)
    except StorageError as error:
        yield Damage("task", task, str(error).removesuffix(f"; {directory.remedy}"))


def refuse_damaged_arrays(directory: RunDirectory, record: Record) -> None:
    """Raise `StorageError` unless the file of a record's arrays is what was written, and what the record stands for."""
    arrays = directory.arrays(record)
    if record.arrays is not None:
        with directory.files.open(record.arrays) as file:
            if not is_as_written(file, record.array_file):
                raise StorageError(f"{directory.path / record.arrays} no longer holds what was written")
    if digest_of_arrays(arrays) != record.arrays_digest:
        raise StorageError(f"{directory.record_file(record.task)} names arrays that aren't its own")


def recorded(directory: RunDirectory) -> list[str]:
    """The tasks that have something at the name of their record, in the order of names."""
    found = (RECORD_FILE.fullmatch(entry.name) for entry in directory.files.entries(RECORDS))
    return [match[1] for match in found if match is not None]


def attempts(directory: RunDirectory, task: str | None = None) -> list[Entry]:
    """What stands at the names of files of attempts, of one task or of all."""
    found = [(entry, ATTEMPT_FILE.fullmatch(entry.name)) for entry in directory.files.entries(ATTEMPTS)]
    return [entry for entry, match in found if match is not None and task in (None, match[1])]


def leftovers(directory: RunDirectory) -> list[Leftover]:
    """Files and folders that no record names: unfinished ones, attempts that lost, checkpoints of what is finished.

    Nothing is among them whose name isn't one that structflow gives. Raises `StorageError` for a link at such a name.
    """
    named, committed = set(), set()
    for task in recorded(directory):
        try:
            named.add(directory.record(task).arrays)
            committed.add(task)
        except StorageError:  # keep everything that a damaged record may have named
            named.update(f"{ATTEMPTS}/{entry.name}" for entry in attempts(directory, task))
    found = unfinished(directory)
    found += [
        Leftover(directory, f"{ATTEMPTS}/{entry.name}", entry.size)
        for entry in attempts(directory)
        if f"{ATTEMPTS}/{entry.name}" not in named
    ]
    for entry in directory.files.entries(CHECKPOINTS):
        if entry.name in committed or (entry.kind == "link" and TASK_NAME.fullmatch(entry.name)):
            found = [each for each in found if not each.name.startswith(f"{CHECKPOINTS}/{entry.name}/")]
            found.append(checkpoints_of(directory, entry.name))
    for leftover in found:
        directory.has(leftover.name)  # refuses a link
    return sorted(found, key=lambda leftover: leftover.name)


def checkpoints_of(directory: RunDirectory, task: str) -> Leftover:
    """The folder with the checkpoints of a task."""
    name = f"{CHECKPOINTS}/{task}"
    size = sum(entry.size for _, entry in own_files(directory.files, name, is_checkpoint))
    return Leftover(directory, name, size)


def unfinished(directory: RunDirectory) -> list[Leftover]:
    """Files that were being written when a process ended, and results that weren't whole."""
    found = []
    at_top = re.compile("|".join(re.escape(name) for name in (*TOP_FILES, RESULT)))
    for folder, own_name in (("", at_top), (RECORDS, RECORD_FILE), (ATTEMPTS, ATTEMPT_FILE)):
        for entry in directory.files.entries(folder):
            whole = finished_name(entry.name)
            if whole is None or not own_name.fullmatch(whole):
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            size = entry.size
            if entry.kind == "folder":
                size = sum(each.size for _, each in own_files(directory.files, name, is_of_zarr))
            found.append(Leftover(directory, name, size))
    for task in directory.files.entries(CHECKPOINTS):
        if task.kind == "folder" and TASK_NAME.fullmatch(task.name):
            folder = f"{CHECKPOINTS}/{task.name}"
            for path, entry in own_files(directory.files, folder, is_checkpoint):
                if finished_name(path.rpartition("/")[2]):
                    found.append(Leftover(directory, f"{folder}/{path}", entry.size))
    return found
