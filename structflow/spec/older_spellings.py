"""Older spellings, read as what they stand for: `objective: {preset: cross_validation, folds: 10}` for `criterion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import Problem
from ..plugins.registry import registry
from .key_path import moved

OPTIONS = ("folds", "held_out", "threshold")
"""Keys of the objective that were options of some preset; those of other presets are ignored, as they were."""

SPELLING = {"criterion.type": "objective.preset", "criterion": "objective"}
"""Where what is wrong with a criterion stands in this spelling; the first that fits."""


def is_spelled(data: Any) -> bool:
    """Whether a spec's data name the criterion, or options of it, in their objective, and nowhere else."""
    objective = data.get("objective") if isinstance(data, Mapping) else None
    if not isinstance(objective, Mapping) or "criterion" in data:
        return False
    return any(key in objective for key in ("preset", *OPTIONS))


def with_criterion(data: Any) -> Any:
    """The data of a spec with `criterion` in place of what its objective says of it; others as they are."""
    if not is_spelled(data):
        return data
    objective = dict(data["objective"])
    name = objective.pop("preset", "evidence")
    given = {key: objective.pop(key) for key in OPTIONS if key in objective}
    known = registry().of_kind("criteria").get(name) if isinstance(name, str) else None
    used = {key: value for key, value in given.items() if known is not None and key in known.options.model_fields}
    return {**data, "objective": objective, "criterion": {"type": name, **used}}


def as_written(problem: Problem) -> Problem:
    """A problem of a criterion at the place where this spelling has it."""
    path = problem.path if problem.path != "criterion" else "criterion.type"
    places = (moved(path, ours, theirs) for ours, theirs in SPELLING.items())
    return replace(problem, path=next((place for place in places if place is not None), problem.path))


def schema_with_preset(schema: dict[str, Any]) -> None:
    """Add this spelling to the JSON schema of the objective."""
    known = registry().of_kind("criteria")
    options = {
        key: value
        for registration in known.values()
        for key, value in registration.options.model_json_schema()["properties"].items()
        if key in OPTIONS
    }
    properties = {"preset": {"enum": list(known)}, **options}
    said = {"deprecated": True, "description": "Written as `criterion` now."}
    schema["properties"].update({key: {**value, **said} for key, value in properties.items()})


def without_idle_momentum(data: Any) -> Any:
    """The data of a spec without a momentum of 0 of an optimiser that has none, as specs were written out with."""
    optimizer = data.get("optimizer") if isinstance(data, Mapping) else None
    inner = optimizer.get("inner") if isinstance(optimizer, Mapping) else None
    if not isinstance(optimizer, Mapping) or not isinstance(inner, Mapping) or inner.get("momentum") != 0:
        return data
    known = registry().of_kind("inner_optimizers").get(str(inner.get("type", "adam")))
    if known is None or "momentum" in known.options.model_fields:
        return data
    left = {key: value for key, value in inner.items() if key != "momentum"}
    return {**data, "optimizer": {**optimizer, "inner": left}}
