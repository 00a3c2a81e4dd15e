"""Finds the file a source reads, or says which one may have been meant."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpecError
from ..store.regular_files import special_file
from .nearest import did_you_mean

PATH_KEY = "data.path"

REMEDY = "check that the file is complete, or choose the source for its format"


def local_path(base: Path, path: str) -> Path:
    """`path` from `base`, with a home directory in place of `~`; raises `SpecError` where that isn't known."""
    try:
        return base / Path(path).expanduser()
    except RuntimeError:  # no such user, or neither HOME nor an entry in the list of users
        home = path.partition("/")[0]
        raise SpecError.single(
            PATH_KEY, f"{path!r} starts with {home}, a home directory that isn't known here", "write the full path"
        ) from None


def existing_path(base: Path, path: str, folder: bool = False) -> Path:
    """`path` from `base`; raises `SpecError` at `data.path` unless it is there and a file (or a folder if asked)."""
    found = local_path(base, path)
    if not found.exists():
        if not found.parent.is_dir():
            raise SpecError.single(
                PATH_KEY, f"{path!r} is in folder {found.parent}, which doesn't exist", f"paths start at {base}"
            )
        neighbours = sorted(found.parent.iterdir())
        if found.suffix:  # then a folder without one, such as that of a spec, isn't meant
            neighbours = [each for each in neighbours if each.suffix or not each.is_dir()]
        names = [each.name for each in neighbours]
        raise SpecError.single(
            PATH_KEY,
            f"there is no {found.name!r} in folder {found.parent}",
            did_you_mean(found.name, names, f"paths start at {base}"),
        )
    special = special_file(found)
    if special is not None:
        raise SpecError.single(PATH_KEY, f"{path!r} is {special}; expected a file", "save its content to a file first")
    if folder and not found.is_dir():
        raise SpecError.single(PATH_KEY, f"{path!r} is a file; expected a folder", "choose the source that reads it")
    if not folder and found.is_dir():
        raise SpecError.single(PATH_KEY, f"{path!r} is a folder; expected a file", "give the path of one file")
    return found


def not_the_format(path: str, expected: str, error: Exception | str, remedy: str = REMEDY) -> SpecError:
    """The error for a file that its source can't decode."""
    reason = error if isinstance(error, str) else str(error).strip().partition("\n")[0] or type(error).__name__
    return SpecError.single(PATH_KEY, f"{path!r} can't be read as {expected}: {reason}", remedy)
