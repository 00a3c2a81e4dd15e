"""What files a folder holds, with sizes and hashes: it names the very file that was lost or changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import StorageError

MANIFEST = "manifest.json"
"""The file of a folder's manifest; it is the only file that the manifest doesn't list."""

FORMAT = "structflow manifest 1"


@dataclass(frozen=True)
class FileState:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files in a folder, and make everything durable."""
    (folder / MANIFEST).write_text(manifest_text(folder, files_in(folder)), encoding="utf-8")
    make_durable(folder)


def digest_of_manifest(folder: Path) -> str:
    """SHA-256 of the folder's manifest."""
    return state_of(folder / MANIFEST).sha256


def manifest_text(folder: Path, names: Iterable[str], texts: Mapping[str, str] = MappingProxyType({})) -> str:
    """A manifest of these files, given by their paths within the folder, and of files that will hold these `texts`."""
    files = {name: state_of(folder / name) for name in names}
    for name, text in texts.items():
        content = text.encode()
        files[name] = FileState(len(content), hashlib.sha256(content).hexdigest())
    listed = {name: [state.size, state.sha256] for name, state in files.items()}
    return json.dumps({"format": FORMAT, "files": listed}, indent=0, ensure_ascii=False) + "\n"


def damaged_files(folder: Path, manifest_sha256: str | None = None, manifest: str = MANIFEST) -> list[str]:
    """What is wrong with the files of a folder, a line each: missing, changed or not a manifest at all.

    `manifest_sha256` is what the manifest itself must hash to. Files that it doesn't list do no harm.
    """
    path = folder / manifest
    try:
        content = path.read_bytes()
        stored = json.loads(content)
        files = {name: FileState(*state) for name, state in stored["files"].items()}
    except FileNotFoundError:
        return [f"{path} is missing"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{path} can't be read: {error}"]
    if manifest_sha256 is not None and hashlib.sha256(content).hexdigest() != manifest_sha256:
        return [f"{path} is not the one that was written"]
    return [problem for name, state in files.items() if (problem := problem_with(folder / name, state)) is not None]


def refuse_damage(folder: Path, manifest_sha256: str | None = None) -> None:
    """Raise `StorageError` naming the first file that isn't what was written."""
    problems = damaged_files(folder, manifest_sha256)
    if problems:
        raise StorageError(f"{problems[0]}; `structflow verify RUN --repair` has it made again")


def problem_with(path: Path, expected: FileState) -> str | None:
    """What is wrong with one file, if anything."""
    try:
        size = path.stat().st_size
        if size != expected.size:
            return f"{path} has {size} bytes; expected {expected.size}"
        if state_of(path) != expected:
            return f"{path} no longer holds what was written"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    return None


def files_in(folder: Path) -> list[str]:
    """All files of a folder but its manifest, by their paths within it, sorted."""
    found = [
        os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names
    ]
    return sorted(name.replace(os.sep, "/") for name in found if name != MANIFEST)


def state_of(path: Path) -> FileState:
    """Size and hash of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileState(file.tell(), digest.hexdigest())


def make_durable(folder: Path) -> None:
    """Have the disk keep all files of a folder and the folders themselves: else a rename may outlive its content."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            synchronise(Path(place, name))
        synchronise(Path(place))


def synchronise(path: Path) -> None:
    """fsync one file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
