"""Named arrays in one file that appears whole or not at all and proves on reading that it is intact.

The file is an NPZ archive, which `numpy.load` opens too: an entry in NumPy's format for every array, nothing
compressed, nothing pickled. One more entry, `contents.json`, has labels and, for every array, the size and SHA-256 of
its entry. Its own SHA-256 is the archive's comment and stands in whatever names the file. So some of the arrays can be
read and checked without reading the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO, NoReturn

import numpy as np
from pydantic import BaseModel, JsonValue

from ..errors import StorageError
from .own_folder import OwnFolder, digest_of_file

FORMAT = "structflow arrays 2"

CONTENTS = "contents.json"
"""The entry that lists the others."""

LARGE = 2**30
"""Bytes from which an entry is written with the 64-bit sizes of ZIP."""

PIECE = 2**20
"""Bytes that are read and hashed at once."""

UNREADABLE = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,  # also NotImplementedError
    OverflowError,
    struct.error,
)
"""What reading an archive of arbitrary bytes may raise."""


class Contents(BaseModel):
    """What an archive says about itself: labels, and of every array its entry, with size and SHA-256."""

    format: str
    labels: dict[str, JsonValue]
    arrays: dict[str, tuple[str, int, str]]


@dataclass(frozen=True)
class ArrayFile:
    """What proves a file of arrays: its size in bytes, its SHA-256, and the SHA-256 of its contents."""

    size: int
    sha256: str
    contents: str


def save_arrays(
    folder: OwnFolder, name: str, arrays: Mapping[str, np.ndarray], labels: Mapping[str, object] | None = None
) -> ArrayFile:
    """Write the arrays, with labels that are plain data, to a file of that name; raises `StorageError`."""
    listed: dict[str, tuple[str, int, str]] = {}
    with folder.written(name) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for number, key in enumerate(sorted(arrays)):
                entry = f"{number:04d}.npy"
                listed[key] = (entry, *write_entry(archive, entry, arrays[key]))
            contents = json.dumps({"format": FORMAT, "labels": dict(labels or {}), "arrays": listed}).encode()
            archive.writestr(zipfile.ZipInfo(CONTENTS), contents)
            proof = hashlib.sha256(contents).hexdigest()
            archive.comment = proof.encode()
        return ArrayFile(file.seek(0, os.SEEK_END), digest_of_file(file), proof)


def write_entry(archive: zipfile.ZipFile, entry: str, array: np.ndarray) -> tuple[int, str]:
    """Write one array in the order of C; returns size and SHA-256 of the entry."""
    ordered = np.asarray(array, order="C")
    with archive.open(zipfile.ZipInfo(entry), "w", force_zip64=ordered.nbytes > LARGE) as file:
        hashed = Hashed(file)
        np.lib.format.write_array(hashed, ordered, version=(1, 0), allow_pickle=False)
    return hashed.size, hashed.digest.hexdigest()


class Hashed:
    """A file that is written through, counting and hashing."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Pass a piece on."""
        self.size += len(piece)
        self.digest.update(piece)
        self.file.write(piece)


def load_arrays(
    folder: OwnFolder,
    name: str,
    wanted: Callable[[str], bool] = lambda array: True,
    expected: ArrayFile | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, JsonValue]]:
    """The wanted arrays of a file, and its labels; only what is returned is read.

    `expected` is what its writer recorded, where that is known. Raises `StorageError` naming the file, and the entry if
    it is one that isn't what was written.
    """
    with folder.open(name) as file:
        size = os.fstat(file.fileno()).st_size
        if expected is not None and size != expected.size:
            raise StorageError(f"{folder.path / name} has {size} bytes; expected {expected.size}")
        try:
            with zipfile.ZipFile(file) as archive:
                contents = checked_contents(archive, None if expected is None else expected.contents)
                listed = {key: state for key, state in contents.arrays.items() if wanted(key)}
                if sum(state[1] for state in listed.values()) > size:
                    raise ValueError("its arrays are larger than the file")
                arrays = {key: read_entry(archive, *state) for key, state in listed.items()}
                return arrays, contents.labels
        except StorageError:
            raise
        except UNREADABLE as error:
            raise StorageError(
                f"{folder.path / name} can't be read as arrays: {error or type(error).__name__}"
            ) from error


def checked_contents(archive: zipfile.ZipFile, expected: str | None) -> Contents:
    """What the archive says about itself, once that is what was written; raises `ValueError`."""
    if archive.getinfo(CONTENTS).compress_type != zipfile.ZIP_STORED:
        raise ValueError("its contents are compressed")
    text = archive.read(CONTENTS)
    proof = hashlib.sha256(text).hexdigest()
    if archive.comment.decode() != proof or expected not in (None, proof):
        raise ValueError("its list of contents is not the one that was written")
    contents = Contents.model_validate_json(text)
    if contents.format != FORMAT:
        raise ValueError(f"its format is {contents.format!r}; expected {FORMAT!r}")
    return contents


def read_entry(archive: zipfile.ZipFile, entry: str, size: int, sha256: str) -> np.ndarray:
    """One array, once its entry is what was written; raises `ValueError`."""
    info = archive.getinfo(entry)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != size:
        differs(entry)
    raw = bytearray(size)  # so that the array can be written to
    digest, view, filled = hashlib.sha256(), memoryview(raw), 0
    with archive.open(info) as file:
        while filled < size:
            count = file.readinto(view[filled : filled + PIECE])  # type: ignore[attr-defined]
            if count == 0:
                differs(entry)
            digest.update(view[filled : filled + count])
            filled += count
    if digest.hexdigest() != sha256:
        differs(entry)
    header = io.BytesIO(raw[:MOST_HEADER_BYTES])
    if np.lib.format.read_magic(header) != (1, 0):
        differs(entry)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    if header.tell() == size:  # there is nothing for `frombuffer`
        return np.empty(shape, dtype)
    return np.frombuffer(raw, dtype, offset=header.tell()).reshape(shape)


MOST_HEADER_BYTES = 2**16 + 10
"""Of NumPy's format in version 1.0: two bytes say how long the header is."""


def differs(entry: str) -> NoReturn:
    """Raise the error for an entry that isn't what the contents say."""
    raise ValueError(f"its entry {entry} no longer holds what was written")


def is_as_written(file: BinaryIO, expected: ArrayFile) -> bool:
    """Whether an open file is, to the last byte."""
    return os.fstat(file.fileno()).st_size == expected.size and digest_of_file(file) == expected.sha256
