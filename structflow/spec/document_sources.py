"""Where documents come from: a file, or data that is already in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.nearest import did_you_mean
from ..errors import Problem, SpecError
from ..store.regular_files import special_file
from .document import Document, parse_document
from .yaml_events import MAX_DEPTH

MAX_BYTES = 1_000_000


def read_document(path: str | Path) -> Document:
    """The document in a file; raises `SpecError` if it can't be read."""
    return parse_document(read_bytes(Path(path)), str(path))


def read_bytes(path: Path) -> bytes:
    """What the file holds; raises `SpecError` for a file that is missing, too large or not a regular file."""
    special = special_file(path)
    if special is not None:  # of a process substitution, too: a spec is read more than once
        raise file_error(path, f"this is {special}; expected a spec file", "save its content to a file first")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise file_error(path, "there is no such file", nearest_file(path)) from None
    except IsADirectoryError:
        raise file_error(path, "this is a folder; expected a spec file", nearest_spec(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise file_error(path, f"can't be read: {reason}", "check the path and its permissions") from None
    if len(content) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES:,} bytes, the limit of a spec"
        raise file_error(path, message, "keep data in files of their own", line=1)
    return content


def file_error(path: Path, message: str, suggestion: str | None, line: int | None = None) -> SpecError:
    """The error about a file as a whole."""
    return SpecError([Problem("", f"{path}: {message}", suggestion, line)], str(path))


def nearest_file(path: Path) -> str | None:
    """What to say about a missing file: the nearest name in its folder."""
    try:
        names = sorted(neighbour.name for neighbour in path.parent.iterdir())
    except OSError:
        return f"there is no folder {path.parent} either"
    return did_you_mean(path.name, names, "give the path of a spec file")


def nearest_spec(folder: Path) -> str:
    """What to say about a folder: the first spec inside it."""
    specs = sorted(folder.glob("*.y*ml"))
    return f"did you mean {str(specs[0])!r}?" if specs else "give the path of a spec file"


def document_from_mapping(mapping: Mapping[str, Any], file: str | None = None) -> Document:
    """The document of data in memory: tuples count as lists, paths as text; raises `SpecError` for other objects."""
    problems: list[Problem] = []
    data = plain(mapping, "", 0, problems)
    if not isinstance(data, dict):
        problems.append(Problem("", f"got {type(mapping).__name__}; expected keys with values"))
    if problems:
        raise SpecError(problems, file)
    return Document(data, {}, file)


def plain(value: Any, path: str, depth: int, problems: list[Problem]) -> Any:
    """A copy made of plain data only; what isn't plain is noted as a problem."""
    if depth > MAX_DEPTH:
        problems.append(Problem(path, f"more than {MAX_DEPTH} levels of nesting", "take levels out"))
        return None
    if isinstance(value, Mapping):
        inside = f"{path}." if path else ""
        return {str(key): plain(item, f"{inside}{key}", depth + 1, problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{index}]", depth + 1, problems) for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        problems.append(Problem(path, "the text holds a NUL or half a character", "remove it"))
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    problems.append(Problem(path, f"got {type(value).__name__}; expected plain data", "use lists, text and numbers"))
    return None
