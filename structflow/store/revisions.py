"""Earlier revisions of a run: what there was before its spec was extended, each kept as a run directory of its own.

They stand in `earlier/0`, `earlier/1`, …. The prepared data, the trained members and what was found of them stay where
they are: every revision reads them there.
"""

from __future__ import annotations

from ..errors import StorageError
from .inspection import Leftover, entry_stores, leftovers, named_keys, recorded
from .names import (
    CERTIFICATE,
    EARLIER,
    PLAN,
    RECORDS,
    RESULT,
    RESULT_MANIFEST,
    START_FILES,
    START_MANIFEST,
    SUMMARY,
)
from .run_directory import RunDirectory

MOVED = (
    PLAN,
    SUMMARY,
    RESULT_MANIFEST,
    RESULT,
    CERTIFICATE,
    RECORDS,
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


def next_number(directory: RunDirectory) -> int:
    """The number of a revision that follows those in `earlier/`."""
    there = folders(directory)
    return int(there[0].path.name) + 1 if there else 0


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
        target = there[0] if is_begun else directory.earlier(next_number(directory))
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


def leftovers_of_all(directory: RunDirectory) -> list[Leftover]:
    """Files and folders that nobody needs."""
    return sorted([*leftovers(directory), *unneeded_entries(directory)], key=lambda leftover: leftover.path)


def unneeded_entries(directory: RunDirectory) -> list[Leftover]:
    """Members and evaluations that no record of a finished run or of its earlier revisions names, file by file.

    None where a record can't be read: it may have named any.
    """
    if not directory.has(SUMMARY):
        return []
    needed: set[str] = set()
    revisions = [directory, *earlier_revisions(directory)]
    try:
        for revision in revisions:
            for task in recorded(revision):
                needed.update(*named_keys(revision, task).values())
    except StorageError:
        return []
    found = []
    for folder, store in entry_stores(directory).items():
        for name, index in store.indexes():
            if needed.isdisjoint(index.keys):
                paths = [f"{folder}/{name}.json", *([] if index.arrays is None else [index.arrays])]
                found += [Leftover(directory, path, directory.files.state(path).st_size) for path in paths]
    return found


def move(directory: RunDirectory, name: str, target: str) -> None:
    """Rename a file or folder that is there, unless its target is."""
    if directory.has(name) and not directory.has(target):
        directory.files.rename(name, target)
