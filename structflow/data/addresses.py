"""Where a table lies: a path of this machine, or any address that fsspec knows, such as s3://bucket/table.zarr."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SpecError
from .files import PATH_KEY, existing_path, local_path

TAGS = ("ETag", "etag", "e_tag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the tag or time of a file's content, the surest first."""

STORAGE_KEY = "data.storage_options"


def is_address(path: str) -> bool:
    """Whether a path names a file system, as memory://table.parquet does."""
    return "://" in path


def file_system(base: Path, path: str, storage_options: Mapping[str, Any], folder: bool | None) -> tuple[Any, str]:
    """The fsspec file system of a path and the place in it; a path without `://` starts at `base`.

    `folder` says whether a local path must be a folder or a file; None is either. Raises `SpecError` for a file that
    isn't there, a file system that isn't installed, or an environment variable that isn't set.
    """
    import fsspec

    if not is_address(path):
        found = existing_path(base, path, folder=local_path(base, path).is_dir() if folder is None else folder)
        return fsspec.filesystem("file"), str(found.resolve())
    try:
        opened, place = fsspec.core.url_to_fs(path, **with_variables(storage_options))
        there = opened.exists(place)
    except (ImportError, ValueError, TypeError) as error:
        remedy = "install the package that fsspec needs for it, or correct the address"
        raise SpecError.single(PATH_KEY, f"can't open {path!r}: {error}", remedy) from error
    except Exception as error:  # each file system has errors of its own for what it is refused
        remedy = "check the address, the network and data.storage_options"
        raise SpecError.single(PATH_KEY, f"can't reach {path!r}: {type(error).__name__}: {error}", remedy) from error
    # object stores and web servers have no folders of their own, so that only files can be known to be missing
    if not there and not folder:
        raise SpecError.single(PATH_KEY, f"there is nothing at {path!r}", "check the address")
    return opened, place


def with_variables(options: Mapping[str, object]) -> dict[str, object]:
    """Storage options with the values of environment variables in place of `$NAME`; raises `SpecError`."""
    found: dict[str, object] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found[name] = with_variables(value)
        elif isinstance(value, str) and re.fullmatch(r"\$[A-Za-z_]\w*", value):
            if value[1:] not in os.environ:
                message = f"{name} stands for the environment variable {value[1:]}, which isn't set"
                raise SpecError.single(STORAGE_KEY, message, f"set {value[1:]} where structflow and its workers run")
            found[name] = os.environ[value[1:]]
        else:
            found[name] = value
    return found


def fingerprint(system: Any, place: str, description: str) -> str:
    """SHA-256 of a description and of the names, sizes and tags or times of all files at a place.

    Where an address can't be listed, as with a web server, it is that of the description and of the place alone.
    """
    summary = hashlib.sha256(description.encode())
    try:
        files = system.find(place, detail=True) or {place: system.info(place)}
    except (OSError, NotImplementedError, ValueError):
        files = {}
    for name in sorted(files):
        entry = files[name]
        tag = next((str(entry[key]) for key in TAGS if entry.get(key) is not None), "")
        summary.update(f"\n{name.removeprefix(place)}|{entry.get('size')}|{tag}".encode())
    return summary.hexdigest()
