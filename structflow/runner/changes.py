"""What differs between the spec that a run was started with and another, and whether the run can be extended to it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from ..spec.effects import effect_at
from ..spec.key_path import KeyPath, format_path
from ..spec.models import Spec
from ..spec.study import Study
from ..store.names import LOCATION, RUN
from ..store.run_directory import RunDirectory

SENTENCE = (
    "a run can be extended by restarts, sweep values, basis functions, shapes, options of its regime, and what is "
    "estimated; for other changes use another directory (-o), or undo them"
)

MOST_SHOWN = 10
"""Changes that an error lists."""


@dataclass(frozen=True)
class Changes:
    """Lines `field: old → new`, and what they mean: nothing to do, an extension, or another study."""

    kind: Literal["none", "without effect", "extension", "another study"]
    lines: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """The lines for an error."""
        return "\n  ".join(self.lines[:MOST_SHOWN])


def spec_as_json(spec: Spec) -> JsonValue:
    """The spec as a run keeps it, to compare it with a later one."""
    dumped: JsonValue = json.loads(spec.model_dump_json(by_alias=True))
    return dumped


def changes_of(revision: RunDirectory, study: Study) -> Changes:
    """What differs between the spec and data of a run's revision and those of a study."""
    stored = revision.read_start_file(RUN)
    found = differences(with_defaults(stored["spec"]), spec_as_json(study.spec))
    refused = [line for path, line in found if meaning_of(path) == "another study"]
    if stored["data_digest"] != study.dataset.digest:
        refused += [line for path, line in found if path[:1] == ("data",)] + [change_of_data(revision, study)]
    if refused:
        return Changes("another study", tuple(refused))
    extending = [line for path, line in found if meaning_of(path) == "extension"]
    if extending:
        return Changes("extension", tuple(extending))
    return Changes("without effect" if found else "none", tuple(line for _, line in found))


def meaning_of(path: KeyPath) -> Literal["without effect", "extension", "another study"]:
    """What a change at a path of the spec means for a run."""
    mark = effect_at(Spec, path)
    if mark is None:
        return "another study"
    if mark.extends is True or (mark.extends == "options" and path[1:] != ("type",)):
        return "extension"
    return "without effect" if mark.affects == ("nothing",) else "another study"


def with_defaults(stored: JsonValue) -> JsonValue:
    """A spec as it was kept, with defaults for keys that have come since; as it was where it isn't valid any more."""
    try:
        return spec_as_json(Spec.model_validate(stored))
    except ValueError:
        return stored


def change_of_data(revision: RunDirectory, study: Study) -> str:
    """How the data differ: in their values, or in where their rows stay while they are trained on."""
    was, now = RunDirectory(revision.top or revision.path).has(LOCATION), study.dataset.stream is not None
    if was == now:
        return "the data: other values than when the run began"
    modes = {True: "read by minibatch (data.stream: true)", False: "held in memory (data.stream: false)"}
    return f"the data: {modes[was]} → {modes[now]}, as `auto` goes by this machine's memory"


def differences(before: JsonValue, now: JsonValue, path: KeyPath = ()) -> list[tuple[KeyPath, str]]:
    """The path and a line `path: old → new` of every value that differs between two JSON values."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [change for key in keys for change in differences(before.get(key), now.get(key), (*path, key))]
    if before == now:
        return []
    if isinstance(before, list) and isinstance(now, list):
        if len(before) == len(now):
            pairs = enumerate(zip(before, now, strict=True))
            return [change for index, (old, new) in pairs for change in differences(old, new, (*path, index))]
        if all(isinstance(item, dict) for item in [*before, *now]):
            return [(path, f"{format_path(path)}: {line}") for line in items_changed(before, now)]
    return [(path, f"{format_path(path)}: {shortened(before)} → {shortened(now)}")]


def items_changed(before: list[JsonValue], now: list[JsonValue]) -> list[str]:
    """`added …` and `removed …` for the items of two lists."""
    old, new = (Counter(map(canonical_text, items)) for items in (before, now))
    lines = [f"removed {shortened(json.loads(text))}" for text in (old - new).elements()]
    lines += [f"added {shortened(json.loads(text))}" for text in (new - old).elements()]
    return lines or ["another order"]


def canonical_text(value: JsonValue) -> str:
    """One text for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def shortened(value: JsonValue) -> str:
    """JSON of a value, without what is empty, cut to a line."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item is not None}
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"
