"""Builds plain data and the line of every key from the event stream of a YAML parser.

PyYAML's parser only delivers events here: nothing is constructed from tags, and no C code recurses into the input.
The parser is lazy, so that nesting or size beyond the limits ends the reading at once.
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import JsonValue

from ..errors import Problem, SpecError
from .key_path import KeyPath, format_path
from .scalars import scalar_value

MAX_DEPTH = 32
"""Levels of nesting, far beyond any spec; it keeps every walk over a document shallow."""

MAX_VALUES = 100_000
MAX_PROBLEMS = 100

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Both deliver the same events with their lines; the C parser is ten times faster."""


def read_events(text: str) -> tuple[Any, dict[str, int]]:
    """The data of the one document in `text` (None if there is none) and the 1-based line of every path.

    Raises `SpecError` for what a spec may not contain, `yaml.YAMLError` for text that isn't YAML.
    """
    reader = EventReader(Loader(text))
    data = reader.document()
    if reader.problems:
        raise SpecError(reader.problems)
    return data, reader.lines


class EventReader:
    """One pass over the events of a parser."""

    def __init__(self, parser: Any):
        self.parser = parser
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.n_values = 0

    def document(self) -> Any:
        """The data of the only document; None for an empty stream."""
        self.parser.get_event()  # the start of the stream
        if isinstance(self.parser.get_event(), yaml.StreamEndEvent):
            return None
        event = self.parser.get_event()
        self.lines[""] = line_of(event)
        data = self.value(event, ())
        self.parser.get_event()  # the end of the document
        following = self.parser.get_event()
        if not isinstance(following, yaml.StreamEndEvent):
            message = "a second document starts here (---); expected one"
            self.fail(following, (), message, "put each spec into a file of its own")
        return data

    def value(self, event: Any, path: KeyPath) -> Any:
        """The value that starts with `event`."""
        self.refuse_what_yaml_adds(event, path)
        self.n_values += 1
        if self.n_values > MAX_VALUES:
            raise self.failure(event, path, f"more than {MAX_VALUES:,} values", "keep data in files of their own")
        if len(path) > MAX_DEPTH:
            raise self.failure(event, path[:3], f"more than {MAX_DEPTH} levels of nesting", "take levels out")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path)

    def mapping(self, path: KeyPath) -> dict[str, JsonValue]:
        """The mapping whose start was read last; a duplicate key is a problem, the first value stands."""
        found: dict[str, JsonValue] = {}
        while not isinstance(event := self.parser.get_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse_what_yaml_adds(event, path)
                raise self.failure(event, path, "a key is a list or a mapping; expected a word", "quote the key")
            self.refuse_what_yaml_adds(event, path)
            key = event.value  # keys are text as written: `1:` and `null:` too
            line = line_of(event)
            below = (*path, key)
            dotted = format_path(below)
            if key in found:
                message = f"key {key!r} is given twice; the first is on line {self.lines[dotted]}"
                self.fail(event, below, message, "remove one of them")
                below = (*path, key, "(repeated)")
            else:
                self.lines[dotted] = line
            value = self.value(self.parser.get_event(), below)
            found.setdefault(key, value)
        return found

    def sequence(self, path: KeyPath) -> list[Any]:
        """The list whose start was read last."""
        found: list[Any] = []
        while not isinstance(event := self.parser.get_event(), yaml.SequenceEndEvent):
            below = (*path, len(found))
            self.lines[format_path(below)] = line_of(event)
            found.append(self.value(event, below))
        return found

    def scalar(self, event: Any, path: KeyPath) -> Any:
        """The value of a word: text if quoted, else what it reads as."""
        text: str = event.value
        if "\0" in text:
            self.fail(event, path, "the text holds a NUL character", "remove it")
        if not event.implicit[0] or event.tag == "!":  # quoted, or a block of text
            return text
        try:
            return scalar_value(text)
        except ValueError as error:
            self.fail(event, path, str(error), "use fewer digits")
            return None

    def refuse_what_yaml_adds(self, event: Any, path: KeyPath) -> None:
        """Raise for an alias or a tag."""
        if isinstance(event, yaml.AliasEvent):
            raise self.failure(event, path, f"aliases (*{event.anchor}) are refused", "write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            short = tag.replace("tag:yaml.org,2002:", "!!")
            raise self.failure(event, path, f"tags ({short:.40}) are refused", "write plain values")

    def fail(self, event: Any, path: KeyPath, message: str, suggestion: str) -> None:
        """Note a problem and go on, up to a number that nobody reads."""
        if len(self.problems) >= MAX_PROBLEMS:
            raise SpecError(self.problems)
        self.problems.append(Problem(format_path(path), message, suggestion, line_of(event)))

    def failure(self, event: Any, path: KeyPath, message: str, suggestion: str) -> SpecError:
        """The error that ends the reading here, with the problems noted before."""
        self.fail(event, path, message, suggestion)
        return SpecError(self.problems)


def line_of(event: Any) -> int:
    """The 1-based line an event starts on."""
    return int(event.start_mark.line) + 1
