"""Spec text to plain data, with the line of every key: a strict subset of YAML 1.2.

The data are mappings with text keys, lists, text, numbers, true, false and null. What YAML offers beyond that, and
what makes it dangerous or surprising, is refused: tags, aliases, several documents, duplicate keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import yaml
from pydantic import JsonValue

from ..errors import Problem, SpecError
from .key_path import enclosing_paths
from .yaml_events import read_events


@dataclass(frozen=True)
class Document:
    """The data of a spec as written.

    `lines` maps dotted paths to 1-based lines, `file` names where it came from, `elsewhere` lists the paths whose
    values aren't the file's.
    """

    data: dict[str, JsonValue]
    lines: Mapping[str, int] = field(default_factory=dict)
    file: str | None = None
    elsewhere: frozenset[str] = frozenset()

    def line_of(self, dotted: str) -> int | None:
        """The line of a path, or of the nearest thing around it that is written down."""
        paths = enclosing_paths(dotted)
        if not self.elsewhere.isdisjoint(paths):
            return None
        return next((self.lines[path] for path in paths if path in self.lines), None)

    def error(self, problems: Iterable[Problem]) -> SpecError:
        """The error for these problems, each once and in the order of lines; adds the lines that aren't known yet."""
        found = [
            problem if problem.line is not None else problem.at_line(self.line_of(problem.path)) for problem in problems
        ]
        return SpecError(sorted(dict.fromkeys(found), key=in_reading_order), self.file)


def in_reading_order(problem: Problem) -> tuple[bool, bool, int]:
    """Sorts problems by line; then come those without a line, last those of the spec as a whole."""
    return not problem.path, problem.line is None, problem.line or 0


def parse_document(content: bytes, file: str | None = None) -> Document:
    """The document in these bytes; raises `SpecError` with a line for everything that isn't allowed."""
    try:
        data, lines = read_events(decoded(content))
    except yaml.YAMLError as error:
        raise SpecError([syntax_problem(error, content)], file) from None
    except SpecError as error:
        raise SpecError(error.problems, file) from None
    if data is None:
        raise SpecError([Problem("", "the spec is empty; expected at least `data` and `model`", None, 1)], file)
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else f"{data!r:.60}"
        raise SpecError([Problem("", f"got {kind}; expected keys with values, as in `data: …`", None, lines[""])], file)
    return Document(data, lines, file)


def decoded(content: bytes) -> str:
    """The text; raises `SpecError` with the line of the first byte that isn't UTF-8 or is NUL."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02x} isn't UTF-8 text"
        raise SpecError([Problem("", message, "save the file in UTF-8", line)]) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SpecError([Problem("", "there is a NUL character", "the file is damaged or isn't text", line)])
    return text


def syntax_problem(error: yaml.YAMLError, content: bytes) -> Problem:
    """One problem in plain words for text that isn't YAML."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f" {error.context}" if error.context else ""
        line = mark.line + 1 if mark else None
        return Problem("", f"this isn't YAML: {error.problem}{where}", "check indentation, quotes and brackets", line)
    position = getattr(error, "position", 0)
    line = content.count(b"\n", 0, position) + 1
    return Problem("", f"there is a control character near byte {position}", "remove it", line)
