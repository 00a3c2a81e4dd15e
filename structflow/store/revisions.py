"""Earlier revisions of a run: what there was before its spec was extended, each kept as a run directory of its own.

They stand in `earlier/0`, `earlier/1`, …; the prepared data stay where they are, since every revision has the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import StorageError
from .inspection import Damage, Leftover, attempts, checkpoints_of, damage, leftovers, recorded, unfinished
from .names import (
    ATTEMPTS,
    CERTIFICATE,
    CHECKPOINTS,
    EARLIER,
    PLAN,
    RECORDS,
    RESULT,
    RESULT_MANIFEST,
    START_FILES,
    START_MANIFEST,
    SUMMARY,
    TASK_NAME,
)
from .removal import is_checkpoint, is_of_zarr, remove_own
from .run_directory import RunDirectory

MOVED = (
    PLAN,
    SUMMARY,
    RESULT_MANIFEST,
    RESULT,
    CERTIFICATE,
    CHECKPOINTS,
    RECORDS,
    ATTEMPTS,
    *(name for name in START_FILES if name != PLAN),
    START_MANIFEST,
)
"""Everything of one revision, in the order it is moved; without its plan, nothing half moved is taken for a run."""


def earlier_revisions(directory: RunDirectory) -> list[RunDirectory]:
    """The earlier revisions of a run, the newest first."""
    return [revision for revision in folders(directory) if revision.has(PLAN)]


def folders(directory: RunDirectory) -> list[RunDirectory]:
    """The folders of earlier revisions, the newest first; nothing may have been moved into that one yet."""
    names = [entry.name for entry in directory.files.entries(EARLIER)]
    numbers = [int(name) for name in names if name.isdecimal() and name == str(int(name))]
    return [directory.earlier(number) for number in sorted(numbers, reverse=True)]


def is_archived(directory: RunDirectory) -> bool:
    """Whether what was open is in `earlier/`, or on its way there, and the extension isn't open yet."""
    return not directory.has(PLAN) and bool(earlier_revisions(directory))


def archive(directory: RunDirectory) -> None:
    """Move what is open into a folder of `earlier/`, to make room for an extension; raises `StorageError`.

    Every move is one rename. Where they are cut short, the next call finishes them: all that is needed for a revision
    was there before the first, so what isn't in the folder yet is still to be moved, and anything else is newer.
    """
    there = folders(directory)
    if directory.has(PLAN):
        is_begun = bool(there) and not there[0].has(PLAN)
        newest = int(there[0].path.name) if there else -1
        target = there[0] if is_begun else directory.earlier(newest + 1)
    elif there:
        target = there[0]
    else:
        return
    place = f"{EARLIER}/{target.path.name}"
    for name in MOVED:
        directory.has(name)  # refuses a link before anything is moved
    directory.files.make(place)
    try:
        for name in MOVED:
            move(directory, name, f"{place}/{name}")
        for folder in (place, EARLIER, ""):
            directory.files.synchronise(folder)
    except OSError as error:
        raise StorageError(f"can't archive {directory.path} in {target.path}: {error.strerror or error}") from error


def damage_of_earlier(directory: RunDirectory) -> Iterator[Damage]:
    """Everything in earlier revisions that isn't what was written."""
    for revision in earlier_revisions(directory):
        yield from (found for found in damage(revision) if not (found.part == "opened" and found.is_of_data))


def drop_revision(revision: RunDirectory) -> None:
    """Remove an earlier revision: structflow's own files, and the folders where nothing else is left."""
    files = revision.files
    for leftover in unfinished(revision):
        leftover.remove()
    for name in (PLAN, SUMMARY, RESULT_MANIFEST, CERTIFICATE, *START_FILES, START_MANIFEST):
        files.unlink(name)
    remove_own(files, RESULT, is_of_zarr)
    for entry in files.entries(CHECKPOINTS):
        if TASK_NAME.fullmatch(entry.name):
            remove_own(files, f"{CHECKPOINTS}/{entry.name}", is_checkpoint)
    for task in recorded(revision):
        files.unlink(f"{RECORDS}/{task}.json")
    for attempt in attempts(revision):
        files.unlink(f"{ATTEMPTS}/{attempt.name}")
    for folder in (CHECKPOINTS, RECORDS, ATTEMPTS, ""):
        files.rmdir(folder)


def leftovers_of_all(directory: RunDirectory) -> list[Leftover]:
    """Files and folders that nobody needs, in the present revision and in earlier ones, which nothing continues."""
    found = leftovers(directory)
    for revision in earlier_revisions(directory):
        found += [each for each in leftovers(revision) if not each.name.startswith(f"{CHECKPOINTS}/")]
        tasks = [entry.name for entry in revision.files.entries(CHECKPOINTS) if TASK_NAME.fullmatch(entry.name)]
        found += [checkpoints_of(revision, task) for task in tasks]
    return sorted(found, key=lambda leftover: leftover.path)


def move(directory: RunDirectory, name: str, target: str) -> None:
    """Rename a file or folder that is there, unless its target is."""
    if directory.has(name) and not directory.has(target):
        directory.files.rename(name, target)
