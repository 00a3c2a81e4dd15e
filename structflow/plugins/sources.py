"""What the code of a package is, beyond its version: changed code of the same version trains other numbers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

NO_SOURCE = "no source"
"""The digest of a package that isn't there, or none of whose files can be read."""

CODE = (".py", ".pyd", *EXTENSION_SUFFIXES)
"""Ends of the names of files that hold code: Python, and what was compiled from other languages."""

DIGITS = 12


@cache
def source_digest(package: str) -> str:
    """The first digits of the SHA-256 of a package's or module's code, names and contents; `NO_SOURCE` without any.

    It finds installed and editable packages, namespace packages in several folders, and what is imported from a zip
    file. Code that was compiled to bytecode alone counts too. Nothing is imported but the parents of `package`.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, AttributeError, ValueError):
        spec = None
    if spec is None:
        return NO_SOURCE
    places = list(spec.submodule_search_locations or ([spec.origin] if spec.origin else []))
    digest, found = hashlib.sha256(), False
    for name, content in sorted(file for place in places for file in code_in(Path(place))):
        found = True
        digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()[:DIGITS] if found else NO_SOURCE


def code_in(place: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of code in a folder, in a file, or at a path that leads into a zip file."""
    if place.is_file():
        yield place.name, place.read_bytes()
        return
    if not place.is_dir():
        yield from code_in_archive(place)
        return
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if is_code(name):
                path = Path(folder, name)
                yield path.relative_to(place).as_posix(), path.read_bytes()


def code_in_archive(place: Path) -> Iterator[tuple[str, bytes]]:
    """The same at a path within a zip file; nothing where there is none."""
    archive = next((parent for parent in place.parents if parent.is_file()), None)
    if archive is None or not zipfile.is_zipfile(archive):
        return
    inside = place.relative_to(archive).as_posix()
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name == inside or name.startswith(f"{inside}/"):
                relative = name.removeprefix(inside).lstrip("/") or Path(name).name
                if is_code(relative) and "__pycache__/" not in relative:
                    yield relative, opened.read(name)


def is_code(name: str) -> bool:
    """Whether a file holds code; bytecode does where it stands in place of a source."""
    return name.endswith((*CODE, ".pyc"))
