"""What in a run directory is damaged, and what nobody needs any more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ..errors import StorageError
from .digest import digest_of_json
from .entries import EntryStore
from .manifest import damaged_files, manifest_text, read_manifest
from .names import (
    CHECKPOINTS,
    DATA,
    DATA_MANIFEST,
    ENTRY_FILE,
    EVALUATIONS,
    MEMBERS,
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
from .own_folder import OwnFolder
from .records import KINDS, EvaluateRecord, TrainRecord
from .removal import files_below, is_checkpoint, is_of_zarr, own_files, refuse_others, remove_own
from .run_directory import RunDirectory, json_text


@dataclass(frozen=True)
class Damage:
    """A part of a run that isn't what was written: a `task`, the `results`, or what the run started with (`opened`).

    Or `members` or `evaluations`, whose index has a `name`.
    """

    part: str
    task: str | None
    message: str
    name: str | None = None


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


def publish_summary(directory: RunDirectory, summary: Mapping[str, JsonValue]) -> None:
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
    """Remove the record of a task, so that the next run does it again."""
    directory.files.unlink(f"{RECORDS}/{task}.json")


def entry_stores(directory: RunDirectory) -> dict[str, EntryStore[Any]]:
    """The stores of entries by folder."""
    return {MEMBERS: directory.members, EVALUATIONS: directory.evaluations}


def named_keys(directory: RunDirectory, task: str) -> dict[str, set[str]]:
    """The keys of entries that the record of a task names, by folder; raises `StorageError` where it can't be read."""
    if task.endswith("-train"):
        return {MEMBERS: {member.key for member in directory.read(task, TrainRecord).members}}
    if task.endswith("-evaluate"):
        return {EVALUATIONS: {member.evaluation for member in directory.read(task, EvaluateRecord).members}}
    return {}


def lacking_entries(directory: RunDirectory) -> dict[str, str]:
    """Tasks whose records name entries that aren't there, with what is missing."""
    found = {}
    stores = entry_stores(directory)
    for task in recorded(directory):
        try:
            named = named_keys(directory, task)
        except StorageError:  # which is damage of its own
            continue
        for folder, keys in named.items():
            missing = len(keys - set(stores[folder].find(keys)))
            if missing:
                place = directory.shared / folder
                is_there = directory.files.has(folder) if directory.top is None else place.exists()
                found[task] = f"{place} lacks {missing} entries of {task}" if is_there else f"{place / task} is missing"
    return found


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
            yield Damage("opened", None, message)
    for task in recorded(directory):
        yield from damage_of_record(directory, task)
    yield from damage_of_entries(directory)
    if directory.has(SUMMARY) or directory.has(RESULT_MANIFEST):
        for message in damage_of_results(directory):
            yield Damage("results", None, message)


def damage_of_entries(directory: RunDirectory) -> Iterator[Damage]:
    """Indexes and files of arrays that aren't what was written, and entries that records name and that are missing."""
    for folder, store in entry_stores(directory).items():
        for name in store.names():
            message = store.damage_of(name)
            if message is not None:
                yield Damage(folder, None, message, name=name)
    for task, message in lacking_entries(directory).items():
        yield Damage("task", task, message)


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
    """What is wrong with a record."""
    try:
        record = directory.record(task)
        if record.digest != digest_of_json(record.payload):
            raise StorageError(f"{directory.record_file(task)} has a digest that isn't that of its content")
        directory.read(task, KINDS[task.rpartition("-")[2]])
    except StorageError as error:
        yield Damage("task", task, str(error).removesuffix(f"; {directory.remedy}"))


def recorded(directory: RunDirectory) -> list[str]:
    """The tasks that have something at the name of their record, in the order of names."""
    found = (RECORD_FILE.fullmatch(entry.name) for entry in directory.files.entries(RECORDS))
    return [match[1] for match in found if match is not None]


def leftovers(directory: RunDirectory) -> list[Leftover]:
    """Files and folders that nothing names: unfinished ones, arrays without an index, checkpoints of what is finished.

    Nothing is among them whose name isn't one that structflow gives. Raises `StorageError` for a link at such a name.
    """
    found = unfinished(directory)
    for store in entry_stores(directory).values():
        named = {index.arrays for _, index in store.indexes()}
        unread = set(store.names()) - {name for name, _ in store.indexes()}  # keep what a damaged index may have named
        found += [
            Leftover(directory, path, size)
            for path, size in store.files_of_arrays().items()
            if path not in named and path.rpartition("/")[2].partition(".")[0] not in unread
        ]
    committed, is_finished = set(recorded(directory)), directory.has(SUMMARY)
    for entry in directory.files.entries(CHECKPOINTS):
        is_task = TASK_NAME.fullmatch(entry.name) is not None
        if entry.name in committed or (is_task and (is_finished or entry.kind == "link")):
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
    for folder, own_name in (("", at_top), (RECORDS, RECORD_FILE), (MEMBERS, ENTRY_FILE), (EVALUATIONS, ENTRY_FILE)):
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
