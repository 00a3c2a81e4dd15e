"""What files a run consists of, with sizes and hashes: it names the very file that was lost or changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import StorageError
from .own_folder import OwnFolder, digest_of_file

FORMAT = "structflow manifest 3"

EARLIER_FORMATS = ("structflow manifest 1", "structflow manifest 2")
"""Formats of runs whose members were stored differently."""


class EarlierVersionError(StorageError):
    """A run was made by a version of structflow that stored members differently; nothing in it is damaged."""


@dataclass(frozen=True)
class FileState:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


def manifest_text(folder: OwnFolder, names: Iterable[str], texts: Mapping[str, str] = MappingProxyType({})) -> str:
    """A manifest of these files, given by their paths within the folder, and of files that will hold these `texts`."""
    files = {name: state_of(folder, name) for name in names}
    for name, text in texts.items():
        content = text.encode()
        files[name] = FileState(len(content), hashlib.sha256(content).hexdigest())
    listed = {name: [state.size, state.sha256] for name, state in files.items()}
    return json.dumps({"format": FORMAT, "files": listed}, indent=0, ensure_ascii=False) + "\n"


def read_manifest(folder: OwnFolder, manifest: str) -> dict[str, FileState]:
    """The files that a manifest lists; raises `StorageError` where it isn't one that structflow wrote.

    Names are checked where they are used: `OwnFolder` takes only paths within the folder.
    """
    path = folder.path / manifest
    if folder.kind(manifest) is None:
        raise StorageError(f"{path} is missing")
    try:
        stored = json.loads(folder.read(manifest))
        if stored["format"] in EARLIER_FORMATS:
            raise EarlierVersionError(
                f"{path} is of a run of an earlier version of structflow, which stored members differently; this "
                "version can't read it: run the spec in a new directory (-o)"
            )
        if stored["format"] != FORMAT:
            raise ValueError(f"its format is {stored['format']!r}; expected {FORMAT!r}")
        return {str(name): FileState(int(size), str(sha256)) for name, (size, sha256) in stored["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path} is not a manifest: {error}") from error


def damaged_files(folder: OwnFolder, manifest: str, needed: Iterable[str] = ()) -> list[str]:
    """What is wrong with the files of a manifest, a line each: missing, changed or not a manifest at all.

    It has to list those that are `needed`.
    """
    try:
        files = read_manifest(folder, manifest)
    except StorageError as error:
        return [str(error)]
    problems = [problem for name, state in files.items() if (problem := problem_with(folder, name, state)) is not None]
    return [f"{folder.path / manifest} doesn't list {name}" for name in needed if name not in files] + problems


def read_listed(folder: OwnFolder, manifest: str, name: str) -> bytes:
    """The content of a small file, once it is what its manifest says; raises `StorageError`."""
    expected = read_manifest(folder, manifest).get(name)
    if expected is None:
        raise StorageError(f"{folder.path / manifest} doesn't list {name}")
    if folder.kind(name) is None:
        raise StorageError(f"{folder.path / name} is missing")
    with folder.open(name) as file:
        content = file.read(expected.size + 1) if size_of(file.fileno()) == expected.size else None
    if content is None or FileState(len(content), hashlib.sha256(content).hexdigest()) != expected:
        raise StorageError(problem_with(folder, name, expected) or f"{folder.path / name} changed while it was read")
    return content


def problem_with(folder: OwnFolder, name: str, expected: FileState) -> str | None:
    """What is wrong with one file, if anything."""
    path = folder.path / name
    try:
        if folder.kind(name) is None:
            return f"{path} is missing"
        with folder.open(name) as file:
            size = size_of(file.fileno())
            if size != expected.size:
                return f"{path} has {size} bytes; expected {expected.size}"
            if digest_of_file(file) != expected.sha256:
                return f"{path} no longer holds what was written"
    except StorageError as error:
        return str(error)
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    return None


def state_of(folder: OwnFolder, name: str) -> FileState:
    """Size and hash of a file; raises `StorageError`."""
    with folder.open(name) as file:
        return FileState(size_of(file.fileno()), digest_of_file(file))


def size_of(descriptor: int) -> int:
    """Bytes of an open file."""
    return os.fstat(descriptor).st_size
