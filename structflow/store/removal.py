"""Removing folders of structflow's own: its files and no others, and nothing through a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import StorageError
from .names import CHECKPOINT_FILE, CHECKPOINT_PART, ZARR_FILE, finished_name
from .own_folder import Entry, OwnFolder

IsOwn = Callable[[str], bool]
"""Whether a file is structflow's own, by its path within the folder that is removed."""


def is_of_zarr(path: str) -> bool:
    """Whether a file is one of a Zarr hierarchy."""
    return ZARR_FILE.fullmatch(path) is not None


def is_checkpoint(path: str) -> bool:
    """Whether a file in the folder of a task is a checkpoint, or one that was being written."""
    part, _, name = path.rpartition("/")
    if part and not CHECKPOINT_PART.fullmatch(part):
        return False
    return CHECKPOINT_FILE.fullmatch(finished_name(name) or name) is not None


def files_below(folder: OwnFolder, name: str) -> Iterator[tuple[str, Entry]]:
    """Everything but folders that is in a folder and those within it, by paths within it; links aren't followed."""
    for entry in folder.entries(name):
        if entry.kind == "folder":
            for path, found in files_below(folder, f"{name}/{entry.name}"):
                yield f"{entry.name}/{path}", found
        else:
            yield entry.name, entry


def own_files(folder: OwnFolder, name: str, is_own: IsOwn) -> list[tuple[str, Entry]]:
    """The regular files of structflow's own in a folder, by paths within it."""
    return [(path, entry) for path, entry in files_below(folder, name) if entry.kind == "file" and is_own(path)]


def remove_own(folder: OwnFolder, name: str, is_own: IsOwn) -> None:
    """Remove structflow's own files from a folder, and it and the folders within it where nothing else is in them."""
    for path, _ in own_files(folder, name, is_own):
        folder.unlink(f"{name}/{path}")
    remove_empty(folder, name)


def remove_empty(folder: OwnFolder, name: str) -> None:
    """Remove a folder and those within it, as far as they are empty."""
    for entry in folder.entries(name):
        if entry.kind == "folder":
            remove_empty(folder, f"{name}/{entry.name}")
    folder.rmdir(name)


def refuse_others(folder: OwnFolder, name: str, is_own: IsOwn) -> None:
    """Raise `StorageError` where anything in a folder isn't structflow's own, which removing it would lose."""
    for path, entry in files_below(folder, name):
        if entry.kind != "file" or not is_own(path):
            what = "" if entry.kind == "file" else f" (a {entry.kind})"
            raise StorageError(
                f"{folder.path / name / path}{what} was not made by structflow, and is in a folder that has to be "
                "removed: move it elsewhere"
            )
