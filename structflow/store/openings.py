"""Earlier openings of a run: what there was before its spec was extended, each kept as a run directory of its own.

They stand in `earlier/0`, `earlier/1`, …; the prepared data stay where they are, since every opening has the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import rename
from pathlib import Path

from ..errors import StorageError
from .certificate_file import CERTIFICATE
from .inspection import OPENING, OPENING_MANIFEST, RESULT_MANIFEST, Damage, damage, leftovers
from .manifest import synchronise
from .run_directory import EARLIER, RunDirectory

PLAN = "plan.json"
"""Goes first: a run directory without a plan isn't open, so nothing half moved is taken for a run."""

CHECKPOINTS = "checkpoints"
"""The folder with tasks that are half done."""

MOVED = (
    PLAN,
    "summary.json",
    RESULT_MANIFEST,
    "result.zarr",
    CERTIFICATE,
    CHECKPOINTS,
    "records",
    "attempts",
    *(name for name in OPENING if name != PLAN),
    OPENING_MANIFEST,
)
"""Everything of one opening, in the order it is moved."""


def earlier_openings(directory: RunDirectory) -> list[RunDirectory]:
    """The earlier openings of a run, the newest first."""
    return [opening for opening in folders(directory) if opening.has(PLAN)]


def folders(directory: RunDirectory) -> list[RunDirectory]:
    """The folders of earlier openings, the newest first; nothing may have been moved into that one yet."""
    folder = directory.path / EARLIER
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return [RunDirectory(folder / str(number)) for number in sorted(numbers, reverse=True)]


def is_set_aside(directory: RunDirectory) -> bool:
    """Whether what was open is in `earlier/`, or on its way there, and the extension isn't open yet."""
    return not directory.has(PLAN) and bool(earlier_openings(directory))


def set_aside(directory: RunDirectory) -> None:
    """Move what is open into a folder of `earlier/`, to make room for an extension; raises `StorageError`.

    Every move is one rename. Where they are cut short, the next call finishes them: all that is needed for an opening
    was there before the first, so what isn't in the folder yet is still to be moved, and anything else is newer.
    """
    there = folders(directory)
    if directory.has(PLAN):
        is_begun = bool(there) and not there[0].has(PLAN)
        newest = int(there[0].path.name) if there else -1
        target = there[0].path if is_begun else directory.path / EARLIER / str(newest + 1)
    elif there:
        target = there[0].path
    else:
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in MOVED:
            move(directory.path / name, target / name)
        for folder in (target, target.parent, directory.path):
            synchronise(folder)
    except OSError as error:
        raise StorageError(f"can't set aside {directory.path} in {target}: {error.strerror or error}") from error


def damage_of_earlier(directory: RunDirectory) -> Iterator[Damage]:
    """Everything in earlier openings that isn't what was written."""
    for opening in earlier_openings(directory):
        yield from (found for found in damage(opening) if not (found.part == "opened" and found.is_of_data))


def leftovers_of_all(directory: RunDirectory) -> list[Path]:
    """Files and folders that nobody needs, in the present opening and in earlier ones, which nothing continues."""
    found = leftovers(directory)
    for opening in earlier_openings(directory):
        found += leftovers(opening)
        if (opening.path / CHECKPOINTS).is_dir():
            found = [path for path in found if opening.path / CHECKPOINTS not in path.parents]
            found.append(opening.path / CHECKPOINTS)
    return sorted(found)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder that is there, unless its target is."""
    if source.exists() and not target.exists():
        rename(source, target)
