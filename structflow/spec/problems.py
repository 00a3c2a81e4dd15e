"""pydantic's errors as problems of the spec: one a mistake, at the path the document has, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ..data.nearest import did_you_mean, nearest_name
from ..errors import Problem
from ..plugins.registry import registry
from .choice import PluginChoice
from .key_path import KeyPath, format_path
from .plain_words import describe, in_plain_words, is_mismatch, mismatch
from .schema_walk import Place, known_keys, place_of, types_at

Error = Mapping[str, Any]
Found = tuple[Place, Error]

MAX_PROBLEMS = 100
"""More than anyone reads; it bounds the time that a file of garbage takes."""


def problems_of(error: ValidationError, model: type[BaseModel], data: Any) -> list[Problem]:
    """The problems in `data`, which `model` refused."""
    errors = error.errors(include_url=False)
    found = [(place_of(model, item["loc"], data), item) for item in errors[:MAX_PROBLEMS]]
    unions: dict[KeyPath, list[Found]] = {}
    problems: list[Problem] = []
    for place, item in found:
        if is_consequence(model, place, item, found):
            continue
        if place.union is not None:
            unions.setdefault(place.union, []).append((place, item))
        else:
            problems.append(problem_of(model, place, item))
    for value_path, attempts in unions.items():
        problems += problems_of_union(model, value_path, attempts)
    if len(errors) > MAX_PROBLEMS:
        problems.append(Problem("", f"there are about {len(errors) - MAX_PROBLEMS} more problems", "fix these first"))
    return problems


def is_consequence(model: type[BaseModel], place: Place, error: Error, found: Sequence[Found]) -> bool:
    """Whether the error only follows from another one."""
    if error["type"] == "too_short":  # short of those elements that have errors of their own
        return len(error["input"]) >= int(error["ctx"]["min_length"])
    if error["type"] == "missing":  # because it is misspelt
        known = known_keys(types_at(model, error["loc"][:-1]))
        return any(
            other["type"] == "extra_forbidden"
            and other["loc"][:-1] == error["loc"][:-1]
            and nearest_name(str(other["loc"][-1]), known) == place.path[-1]
            for _, other in found
        )
    return False


def problems_of_union(model: type[BaseModel], value_path: KeyPath, attempts: Sequence[Found]) -> list[Problem]:
    """One problem for a value that fits no branch, or those of the branch it nearly fits."""
    branches: dict[str, list[Found]] = {}
    for place, error in attempts:
        branches.setdefault(place.branch, []).append((place, error))
    near = [
        branch
        for branch in branches.values()
        if any(place.path != value_path or not is_mismatch(error) for place, error in branch)
    ]
    if near:
        return [problem_of(model, place, error) for place, error in min(near, key=len)]
    message, suggestion = mismatch([error for _, error in attempts], attempts[0][1]["input"])
    return [Problem(format_path(value_path), message, suggestion)]


def problem_of(model: type[BaseModel], place: Place, error: Error) -> Problem:
    """The problem of one error."""
    dotted, kind, value = format_path(place.path), error["type"], error["input"]
    location = error["loc"]
    if kind == "extra_forbidden":
        return unknown_key(dotted, str(location[-1]), known_keys(types_at(model, location[:-1])))
    if kind == "missing":
        return Problem(dotted, f"key {str(location[-1])!r} is missing", "it has no default: add it")
    choices = [type_ for type_ in types_at(model, location) if isinstance(type_, PluginChoice)]
    if choices and kind in ("union_tag_invalid", "union_tag_not_found", "model_attributes_type"):
        return no_such_plugin(choices[0], dotted, place.value, kind)
    if is_mismatch(error):
        return Problem(dotted, *mismatch([error], value))
    return Problem(dotted, in_plain_words(error))


def unknown_key(dotted: str, key: str, known: Sequence[str]) -> Problem:
    """The problem of a key that nothing reads."""
    listed = f"known keys: {', '.join(dict.fromkeys(known))}" if known else None
    return Problem(dotted, f"unknown key {key!r}", did_you_mean(key, known, listed))


def no_such_plugin(choice: PluginChoice, dotted: str, value: Any, kind: str) -> Problem:
    """The problem of a value that names no installed plugin."""
    installed = f"installed: {', '.join(choice.plugins)}"
    if kind == "model_attributes_type":
        return Problem(dotted, f"got {describe(value)}; expected the name of a {choice.noun} or its keys", installed)
    if kind == "union_tag_not_found":
        return Problem(dotted, f"key {choice.key!r} is missing; it names the {choice.noun}", installed)
    name, where = (value[choice.key], f"{dotted}.{choice.key}") if isinstance(value, dict) else (value, dotted)
    nearest = did_you_mean(name, choice.plugins) if isinstance(name, str) else None
    remedy = nearest or registry().unavailable
    return Problem(where, f"no {choice.noun} {name!r}; {installed}", remedy or None)
