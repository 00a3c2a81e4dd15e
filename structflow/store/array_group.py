"""Named arrays in a Zarr 3 group that appears whole or not at all and proves on reading that it is intact.

A chunk that has been lost reads as zeros without any error. So a manifest says which files there must be, and the
digest of the decoded values is stored beside them and checked.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import StorageError
from .manifest import refuse_damage, synchronise, write_manifest

FORMAT = "structflow arrays 1"
GROUP = "arrays"
"""The Zarr group within the folder, which holds the manifest beside it."""

CHUNK_BYTES = 32 * 2**20
"""Far below the 2 GiB that the compressor takes at once, and large enough for few files."""

Loaded = TypeVar("Loaded")


def save_group(folder: Path, arrays: Mapping[str, np.ndarray], labels: Mapping[str, Any], digest: str) -> None:
    """Write the arrays and labels to `folder` by way of a temporary neighbour and one rename.

    Quietly keeps a group of the same digest that is already there; raises `StorageError` otherwise.
    """
    if folder.exists():
        keep_if_same(folder, digest)
        return
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_group(unfinished / GROUP, arrays, {**labels, "format": FORMAT, "digest": digest})
        write_manifest(unfinished)
        os.rename(unfinished, folder)
        synchronise(folder.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if folder.exists():  # another process was faster
            keep_if_same(folder, digest)
            return
        raise StorageError(f"can't write {folder}: {error.strerror or error}") from error


def write_group(folder: Path, arrays: Mapping[str, np.ndarray], attributes: dict[str, Any]) -> None:
    """Write one group, arrays in chunks of whole rows."""
    import zarr

    folder.mkdir(parents=True)
    group = zarr.open_group(folder, mode="w-", zarr_format=3, attributes=attributes)
    for name, array in arrays.items():
        stored = group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=chunk_shape(array))
        if array.size:
            stored[...] = array


def chunk_shape(array: np.ndarray) -> tuple[int, ...]:
    """As many whole rows as go into a chunk."""
    if array.ndim == 0:
        return ()
    row_bytes = max(1, array[:1].nbytes)
    rows = min(max(1, CHUNK_BYTES // row_bytes), max(1, len(array)))
    return (rows, *(max(1, length) for length in array.shape[1:]))


def keep_if_same(folder: Path, digest: str) -> None:
    """Raise `StorageError` unless `folder` is a group that was saved with this digest."""
    present = read_attributes(folder).get("digest")
    if present != digest:
        raise StorageError(f"{folder} already holds other data; expected a new folder: remove it or choose another")


def read_attributes(folder: Path) -> dict[str, Any]:
    """The attributes of the group; raises `StorageError` if there is none of this format."""
    import zarr

    try:
        attributes = dict(zarr.open_group(folder / GROUP, mode="r", zarr_format=3).attrs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder} is not a group of arrays that can be read: {error}") from error
    if attributes.get("format") != FORMAT:
        raise StorageError(f"{folder} has format {attributes.get('format')!r}; expected {FORMAT!r}")
    return attributes


def load_group(
    folder: Path,
    names: Sequence[str] | None,
    build: Callable[[dict[str, np.ndarray], dict[str, Any]], Loaded],
    digest_of: Callable[[Loaded], str],
    manifest_sha256: str | None = None,
) -> Loaded:
    """Read arrays and labels, build the object and compare its digest with the stored one.

    `names` are the arrays to read, None for all of them; `manifest_sha256` is what the manifest must hash to. Raises
    `StorageError` naming the file that is missing or differs from what was written.
    """
    import zarr

    attributes = read_attributes(folder)
    refuse_damage(folder, manifest_sha256)
    try:
        group = zarr.open_group(folder / GROUP, mode="r", zarr_format=3)
        loaded = build({name: np.asarray(group[name]) for name in names or sorted(group.array_keys())}, attributes)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise StorageError(f"the arrays in {folder} can't be read: {error!r}") from error
    if digest_of(loaded) != attributes["digest"]:
        raise damaged(folder)
    return loaded


def damaged(path: Path) -> StorageError:
    """The error for a file or folder whose digest is wrong."""
    return StorageError(
        f"{path} is damaged: it no longer holds what was written; `structflow verify RUN --repair` has it made again"
    )
