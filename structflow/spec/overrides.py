"""Values that replace those of a document: from `--set key=value`, from a sweep and from stages."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from pydantic import JsonValue

from ..data.nearest import did_you_mean
from ..errors import Problem, SpecError
from .document import decoded
from .key_path import KeyPath, format_path, moved, parse_path
from .yaml_events import read_events

DISCRIMINATORS = ("type", "source", "schedule")
"""Keys that say what a mapping describes: another value there makes another thing, whose keys aren't merged."""


@dataclass(frozen=True)
class Override:
    """`value` for the key `target`. `origin` is the dotted path where the spec says so, `text` the `--set` argument.

    With `merge`, a mapping adds to the one that is there, unless it describes another thing. `created` is the dotted
    path of the outermost mapping that had to be made to hold it.
    """

    target: KeyPath
    value: JsonValue
    origin: str | None = None
    text: str | None = None
    merge: bool = False
    created: str | None = None

    @property
    def place(self) -> str:
        """Where a user would look for it."""
        return self.origin if self.origin is not None else format_path(self.target)

    def problem(self, message: str, suggestion: str | None = None) -> Problem:
        """A problem with the override itself."""
        source = f"--set {self.text}: " if self.text is not None else ""
        return Problem(self.place, f"{source}{message}", suggestion)

    def claims(self, problem: Problem) -> Problem | None:
        """The problem as one of this override, if what is wrong is what it has set."""
        place = moved(problem.path, format_path(self.target), self.place)
        if place is None:
            if self.created is None or moved(problem.path, self.created, "") is None:
                return None
            place = self.origin or problem.path
        source = f" (from --set {self.text})" if self.text is not None else ""
        return Problem(place, f"{problem.message}{source}", problem.suggestion)


def claimed(problem: Problem, overrides: Sequence[Override]) -> Problem:
    """The problem at the place of the last override that has set what is wrong, if one has."""
    claims = (override.claims(problem) for override in reversed(overrides))
    return next((claim for claim in claims if claim is not None), problem)


def parse_override(text: str) -> Override:
    """The override of `key=value`, whose value is read as YAML; raises `SpecError`."""
    key, equals, written = text.partition("=")
    target = parse_path(key.strip())
    if not equals or target is None:
        example = "write it as optimizer.restarts=4 or model.edges[0].choose=any"
        raise SpecError.single("", f"--set {text!r} isn't key=value", example)
    try:
        value, _ = read_events(decoded(written.encode()))
    except (SpecError, yaml.YAMLError, UnicodeEncodeError) as error:
        reason = error.problems[0].message if isinstance(error, SpecError) else "this isn't YAML"
        raise SpecError.single(format_path(target), f"--set {text}: {reason}", "quote the value") from None
    return Override(target, value, text=text)


def apply_overrides(
    data: Mapping[str, JsonValue], overrides: Sequence[Override]
) -> tuple[dict[str, JsonValue], list[Override]]:
    """A copy of `data` with the overrides applied in order, and the overrides with their targets as found there.

    Raises `SpecError` with a problem for every override that doesn't fit the data.
    """
    changed = copy.deepcopy(dict(data))
    applied: list[Override] = []
    problems: list[Problem] = []
    for override in overrides:
        try:
            applied.append(apply_override(changed, override))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return changed, applied


def apply_override(data: dict[str, JsonValue], override: Override) -> Override:
    """Set the value within `data`; positions in lists may be given as `0` or `[0]`, and must exist."""
    container: Any = data
    path: KeyPath = ()
    created = None
    for part in override.target[:-1]:
        key = existing_key(container, part, path, override)
        path = (*path, key)
        present = value_at(container, key)
        if present is None and created is None:
            created = format_path(path)
        inner = as_container(present, key)
        container[key] = inner
        container = inner
    key = existing_key(container, override.target[-1], path, override)
    value = copy.deepcopy(override.value)
    container[key] = combined(value_at(container, key), value) if override.merge else value
    return replace(override, target=(*path, key), created=created)


def value_at(container: Any, key: str | int) -> Any:
    """What a mapping or list holds at a key; None if nothing."""
    return container.get(key) if isinstance(container, dict) else container[key]


def as_container(value: Any, key: str | int) -> Any:
    """What stands at a key, ready to take keys: nothing is an empty mapping, a bare word one that has that type."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {"source" if key == "data" else "type": value}
    return value


def existing_key(container: Any, part: str | int, path: KeyPath, override: Override) -> str | int:
    """`part` as a key of this container; raises `SpecError` where there can be none."""
    where = format_path(path) or "spec"
    if isinstance(container, dict):
        return str(part)
    if not isinstance(container, list):
        raise SpecError([override.problem(f"{where} is {container!r}, which has no keys", f"set {where} as a whole")])
    if not str(part).isdecimal():
        suggestion = f"write {where}[0] for its first element"
        raise SpecError([override.problem(f"{where} is a list; expected a position, got {part!r}", suggestion)])
    if int(part) >= len(container):
        message = f"{where} has {len(container)} elements; there is no [{part}]"
        raise SpecError([override.problem(message, "positions start at 0")])
    return int(part)


def combined(present: Any, value: Any) -> Any:
    """`value` merged into what is present, at every depth."""
    if not isinstance(present, dict) or not isinstance(value, dict):
        return value
    if any(key in value and key in present and value[key] != present[key] for key in DISCRIMINATORS):
        return value
    return {**present, **{key: combined(present.get(key), item) for key, item in value.items()}}


def flattened(block: Mapping[str, Any], origin: str, target: KeyPath = ()) -> list[Override]:
    """The overrides of one stage: nested mappings go down to their values, and keys may be dotted."""
    overrides = []
    for key, value in block.items():
        parts = parse_path(key)
        place = f"{origin}.{key}"
        if parts is None:
            raise SpecError.single(place, f"{key!r} isn't a key", did_you_mean(key, ("objective.c_reg",)))
        if isinstance(value, dict) and value and not any(name in value for name in DISCRIMINATORS):
            overrides += flattened(value, place, (*target, *parts))
        else:
            overrides.append(Override((*target, *parts), value, place, merge=True))
    return overrides
