"""The settings of a sweep and the stages of each: specs of their own, with the overrides applied."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from ..errors import Problem, SpecError
from .effects import fixed_keys
from .key_path import enclosing_paths, format_path, moved, parse_path
from .models import Spec
from .older_spellings import as_written, is_spelled
from .overrides import Override, apply_overrides, claimed, flattened
from .structures import shown_count
from .study import Setting
from .validate import validate_data

MAX_SPECS = 2_000
"""Settings times stages: every one is checked before anything runs."""


@dataclass(frozen=True)
class Stage:
    """The spec of one stage of one setting, and the overrides that made it.

    `has_preset` says whether its criterion is written as `objective.preset`.
    """

    spec: Spec
    overrides: tuple[Override, ...]
    has_preset: bool

    def attributed(self, problem: Problem) -> Problem:
        """The problem at the place in the document that set what is wrong."""
        return claimed(as_written(problem) if self.has_preset else problem, self.overrides)


@dataclass(frozen=True)
class ResolvedSetting:
    """One point of the sweep with its stages."""

    values: dict[str, JsonValue]
    stages: tuple[Stage, ...]

    def setting(self) -> Setting:
        """The form that later layers use."""
        return Setting(self.values, tuple(stage.spec for stage in self.stages))


def resolve_settings(spec: Spec, data: Mapping[str, JsonValue]) -> tuple[tuple[ResolvedSetting, ...], list[Problem]]:
    """The settings of a valid spec, whose document holds `data`, and the problems of those that can't be.

    Sweep blocks are crossed in row-major order: the last block changes fastest.
    """
    problems = sweep_problems(spec)
    stages: list[list[Override]] = []
    for index, block in enumerate(spec.stages):
        try:
            stages.append(flattened(block, f"stages[{index}]"))
        except SpecError as error:
            problems += error.problems
    for overrides in stages:
        problems += fixed(overrides, fixed_keys(Spec, lambda mark: mark.per_stage), "a stage")
    if problems:
        return (), problems
    base = {key: value for key, value in data.items() if key not in ("sweep", "stages")}
    settings = []
    for sweep in crossed(spec):
        values = {format_path(override.target): override.value for override in sweep}
        resolved = []
        for overrides in stages or [[]]:
            try:
                resolved.append(stage_with(base, [*sweep, *overrides]))
            except SpecError as error:
                problems += error.problems
        settings.append(ResolvedSetting(values, tuple(resolved)))
    return tuple(settings), list(dict.fromkeys(problems))


def stage_with(base: Mapping[str, JsonValue], overrides: Sequence[Override]) -> Stage:
    """The stage with these overrides; raises `SpecError` with the problems at the places that set the values."""
    changed, applied = apply_overrides(base, overrides)
    spec, problems = validate_data(changed)
    if spec is None:
        raise SpecError([claimed(problem, applied) for problem in problems])
    return Stage(spec, tuple(applied), is_spelled(changed))


def crossed(spec: Spec) -> Iterator[list[Override]]:
    """The overrides of every setting; one empty list without a sweep."""
    counts = [range(len(next(iter(block.values())))) for block in spec.sweep]
    for positions in itertools.product(*counts):
        yield [
            Override(parse_path(key) or (key,), values[position], f"sweep[{index}].{key}[{position}]")
            for index, (block, position) in enumerate(zip(spec.sweep, positions, strict=True))
            for key, values in block.items()
        ]


def sweep_problems(spec: Spec) -> list[Problem]:
    """What is wrong with the keys of the sweep and with their number."""
    problems: list[Problem] = []
    overrides: list[Override] = []
    for index, block in enumerate(spec.sweep):
        place = f"sweep[{index}]"
        if not block:
            problems.append(Problem(place, "got an empty mapping; expected keys with lists of values"))
        lengths = {key: len(values) for key, values in block.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            remedy = "keys of one block go together; put keys that are to be crossed into blocks of their own"
            problems.append(Problem(place, f"{listed} values; expected equal numbers", remedy))
        problems += [
            Problem(f"{place}.{key}", "got an empty list; expected at least 1 value")
            for key, length in lengths.items()
            if length == 0
        ]
        for key in block:
            target = parse_path(key)
            if target is None:
                problems.append(Problem(f"{place}.{key}", f"{key!r} isn't a key", "write it as objective.c_reg"))
            else:
                overrides.append(Override(target, None, f"{place}.{key}"))
    problems += fixed(overrides, fixed_keys(Spec, lambda mark: mark.swept), "a sweep") + swept_twice(overrides)
    n_specs = math.prod(len(next(iter(block.values()), ())) for block in spec.sweep) * max(1, len(spec.stages))
    if n_specs > MAX_SPECS:
        message = f"the blocks and stages make {shown_count(n_specs)} combinations; expected at most {MAX_SPECS:,}"
        problems.append(Problem("sweep" if spec.sweep else "stages", message, "split the study into several specs"))
    return problems


def fixed(overrides: Sequence[Override], keys: Iterable[str], who: str) -> list[Problem]:
    """A problem for every override of a key that has to stay the same."""
    return [
        override.problem(f"{who} can't change {key}", "write a spec of its own for each value")
        for key in keys
        for override in overrides
        if moved(format_path(override.target), key, "") is not None
    ]


def swept_twice(overrides: Sequence[Override]) -> list[Problem]:
    """A problem for every key of the sweep that another one sets, too, as a whole or in part."""
    problems = []
    set_at: dict[str, str] = {}
    set_within: dict[str, str] = {}
    for override in overrides:
        dotted = format_path(override.target)
        around = enclosing_paths(dotted)[:-1]
        earlier = next((set_at[path] for path in around if path in set_at), None) or set_within.get(dotted)
        if earlier is not None:
            problems.append(override.problem(f"{dotted} is swept at {earlier} already", "remove one of them"))
        set_at.setdefault(dotted, override.place)
        for path in around:
            set_within.setdefault(path, override.place)
    return problems
