"""What in a run directory is damaged, and what nobody needs any more."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StorageError
from .manifest import damaged_files, files_in, manifest_text
from .run_directory import RunDirectory, json_text

OPENING = ("spec.yaml", "resolved.yaml", "settings.json", "environment.json", "run.json", "plan.json")
"""Files that are written once, when a run is opened."""

OPENING_MANIFEST = "opening.manifest.json"
"""The manifest of what a run was opened with, relative to the run directory."""

RESULT_MANIFEST = "result.manifest.json"
"""The manifest of the public results, relative to the run directory."""


@dataclass(frozen=True)
class Damage:
    """A part of a run that isn't what was written: a `task`, the `results`, or what the run was `opened` with.

    Or something of an `earlier` opening, which the run doesn't depend on.
    """

    part: str
    task: str | None
    message: str
    is_of_data: bool = False


def seal_opening(directory: RunDirectory) -> None:
    """Write the manifest of what the run was opened with."""
    directory.write_text(OPENING_MANIFEST, manifest_text(directory.path, OPENING))


def publish_summary(directory: RunDirectory, summary: dict[str, Any]) -> None:
    """Write the summary, which comes last and says that all results are there, and before it their manifest."""
    text = json_text(summary)
    result = [f"{directory.result.name}/{name}" for name in files_in(directory.result)]
    directory.write_text(RESULT_MANIFEST, manifest_text(directory.path, result, {"summary.json": text}))
    directory.write_text("summary.json", text)


def withdraw_results(directory: RunDirectory) -> None:
    """Remove the public results, which the records can always be turned into again; the summary goes first."""
    for name in ("summary.json", RESULT_MANIFEST):
        (directory.path / name).unlink(missing_ok=True)
    shutil.rmtree(directory.result, ignore_errors=True)


def withdraw_record(directory: RunDirectory, task: str) -> None:
    """Remove the record of a task and its attempts, so that the next run does it again."""
    (directory.path / "records" / f"{task}.json").unlink(missing_ok=True)
    for folder in attempts_of(directory, task):
        shutil.rmtree(folder, ignore_errors=True)


def damage(directory: RunDirectory) -> Iterator[Damage]:
    """Everything in the run directory that isn't what was written, each with the very file."""
    if directory.has(OPENING_MANIFEST):
        for message in damaged_files(directory.path, manifest=OPENING_MANIFEST):
            yield Damage("opened", None, message)
    if directory.has("plan.json"):
        for message in damaged_files(directory.data):
            yield Damage("opened", None, message, is_of_data=True)
    for path in records(directory):
        yield from damage_of_record(directory, path.stem)
    if directory.has("summary.json") or directory.has(RESULT_MANIFEST):
        for message in damaged_files(directory.path, manifest=RESULT_MANIFEST):
            yield Damage("results", None, message)


def damage_of_record(directory: RunDirectory, task: str) -> Iterator[Damage]:
    """What is wrong with a record or with the arrays it names."""
    try:
        record = directory.record(task)
    except StorageError as error:
        yield Damage("task", task, str(error))
        return
    if record.arrays is None:
        return
    messages = damaged_files(directory.path / record.arrays, record.manifest)
    if not messages:  # files are as written: are they what the record stands for?
        try:
            directory.arrays(record)
        except StorageError as error:
            messages = [str(error)]
    for message in messages:
        yield Damage("task", task, message)


def records(directory: RunDirectory) -> list[Path]:
    """The files of all records, by task."""
    return sorted(path for path in (directory.path / "records").glob("*.json") if not path.name.startswith("."))


def leftovers(directory: RunDirectory) -> list[Path]:
    """Files and folders that no record names: unfinished ones, attempts that lost, checkpoints of what is finished.

    Nothing that structflow didn't make is among them.
    """
    named, committed = set(), set()
    for path in records(directory):
        committed.add(path.stem)
        try:
            named.add(json.loads(path.read_text(encoding="utf-8"))["arrays"])
        except (OSError, ValueError, KeyError, TypeError):  # keep everything that a damaged record may have named
            named.update(f"attempts/{folder.name}" for folder in attempts_of(directory, path.stem))
    found = [path for folder in ("", "records", "attempts", "checkpoints") for path in hidden(directory.path / folder)]
    found += [path for path in children(directory.path / "attempts") if f"attempts/{path.name}" not in named]
    found += [path for path in children(directory.path / "checkpoints") if path.name in committed]
    return sorted(found)


def attempts_of(directory: RunDirectory, task: str) -> list[Path]:
    """The folders of the attempts at a task."""
    return [path for path in children(directory.path / "attempts") if path.name.rpartition(".")[0] == task]


def children(folder: Path) -> list[Path]:
    """What stands in a folder under its final name."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def hidden(folder: Path) -> list[Path]:
    """What is unfinished in a folder: it begins with a dot and ends in 12 or 32 hexadecimal digits."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name.startswith(".") and is_hexadecimal(path.suffix[1:])]


def is_hexadecimal(text: str) -> bool:
    """Whether a text is the mark of an unfinished file."""
    return len(text) in (12, 32) and set(text) <= set("0123456789abcdef")


def remove(path: Path) -> None:
    """Remove a file, or a folder with all it holds; raises `StorageError` where that isn't allowed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"can't remove {path}: {error.strerror or error}") from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file() or path.is_symlink():
        return path.lstat().st_size
    return sum(Path(place, name).lstat().st_size for place, _, names in os.walk(path) for name in names)
