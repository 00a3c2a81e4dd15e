"""The inputs of a table to predict for, read by the data source of the run, or by the one for its format."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import yaml
from pydantic import JsonValue, ValidationError

from ..data.dataset import Dataset
from ..data.new_inputs import NamedColumns, by_name
from ..errors import CallError, PluginError, Problem, SpecError
from ..plugins import DataOptions, InputTable
from ..plugins.calling import Calling, broken_contract, named_plugin
from ..plugins.registry import Registration, registry
from ..spec.key_path import format_path, parse_path
from ..spec.overrides import parse_override
from ..spec.problems import problems_of

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Endings behind that of a format."""


KEY_AND_VALUE = re.compile(r"`(\w+): ([^`]+)`")
"""How remedies name an option of a source and its value, as in a spec."""


def read_new_table(
    dataset: Dataset,
    options: DataOptions,
    table: str,
    source: str | None = None,
    overrides: Iterable[str] = (),
    command: Sequence[str] = (),
) -> np.ndarray:
    """The inputs (rows, *input_shape) of a table, in the order of the run's columns, as they stand there.

    `dataset` and `options` are those of the run. The table is read with the run's own options if the run's source
    reads it, else with the defaults of the source that `source` or the ending of its name gives; `overrides` are texts
    `key=value` that replace options. Raises `CallError` for a table that can't be read or lacks columns. `command` is
    the one that was given, as its words: remedies then are commands, too.
    """
    registration = source_of(options, table, source)
    chosen = options_for(registration, dataset, options, table, overrides)
    plugin, method, unreadable = registration.plugin, "read_inputs", (OSError, ValueError, EOFError, MemoryError)
    try:
        with Calling(plugin, method, through=unreadable):
            found = plugin.read_inputs(chosen, Path.cwd(), dataset.input_names)
    except SpecError as error:
        raise in_table(table, error.problems, command) from error
    except unreadable as error:
        raise CallError(f"{table}: source {registration.type} can't read this: {error}") from error
    if not isinstance(found, InputTable) or not isinstance(found.inputs, np.ndarray):
        got = f"inputs as {type(found.inputs).__name__}" if isinstance(found, InputTable) else type(found).__name__
        raise broken_contract(plugin, method, got, "a structflow.plugins.InputTable of NumPy arrays")
    values, names = found.inputs, found.input_names
    if len(values) == 0:
        raise CallError(f"{table} has no rows; expected at least one")
    if values.ndim != 2 or names == dataset.input_names:
        return np.asarray(values)
    if len(names) != values.shape[1]:
        message = f"{len(names)} input names for inputs of shape {values.shape}; expected one a column"
        raise PluginError(f"{named_plugin(plugin)} gave {message}")
    columns = NamedColumns("table", names, lambda place: values[:, place])
    try:
        return by_name(columns, dataset.input_names, dataset.input_shape)
    except CallError as error:
        raise CallError(str(error).replace("new inputs", table)) from None


def in_table(table: str, problems: Iterable[Problem], command: Sequence[str] = ()) -> CallError:
    """The error for problems that a source found in a table; the spec isn't at fault.

    Below it stands the command with the options that remedies name, if they name any.
    """
    lines = []
    named: dict[str, str] = {}
    for problem in problems:
        remedy = f"\n  → {problem.suggestion}" if problem.suggestion else ""
        lines.append(f"{table}: {problem.message}{remedy}")
        named |= dict(KEY_AND_VALUE.findall(problem.suggestion or ""))
    if named and command:
        added = [part for key, value in named.items() for part in ("--set", as_override(key, yaml.safe_load(value)))]
        lines.append(f"  try: {shlex.join([*command, *added])}")
    return CallError("\n".join(lines))


def as_override(key: str, value: JsonValue) -> str:
    """The text `key=value` that `option_of` reads as this value, in the form that people would write."""
    plain = f"{key}={value}".replace("\t", r"\t")
    is_read = isinstance(value, str) and option_of(plain)[1] in (value, value.replace("\t", r"\t"))
    return plain if is_read else f"{key}={json.dumps(value)}"


def source_of(options: DataOptions, table: str, source: str | None) -> Registration:
    """The source that reads a table: the one named, else the run's own where it reads such files, else by its ending.

    Raises `CallError` where there is none, or where several would do.
    """
    known = registry().of_kind("data_sources")
    readers = {name: each for name, each in known.items() if "path" in each.options.model_fields}
    if source is not None:
        if source not in readers:
            raise CallError(f"there is no source {source!r} that reads files; expected one of {', '.join(readers)}")
        return readers[source]
    plain = without_compression(table)
    fitting = [name for name, each in readers.items() if plain.endswith(tuple(each.plugin.suffixes))]
    given = options.model_dump(by_alias=True)
    own = readers.get(given["source"])
    if own is not None and (own.type in fitting or not fitting or same_ending(str(given.get("path", "")), table)):
        return own
    if len(fitting) == 1:
        return readers[fitting[0]]
    what = f"several sources read such files: {', '.join(fitting)}" if fitting else "no source reads such files"
    raise CallError(f"{table}: {what}; name one with --source: {', '.join(readers)}")


def without_compression(path: str) -> str:
    """A path in small letters, without an ending that says how it is compressed."""
    lower = path.rstrip("/").lower()
    ending = next((ending for ending in COMPRESSED if lower.endswith(ending)), "")
    return lower.removesuffix(ending)


def same_ending(one: str, other: str) -> bool:
    """Whether two names have the same ending, and have one."""
    endings = [Path(without_compression(path)).suffix for path in (one, other)]
    return endings[0] == endings[1] != ""


def options_for(
    registration: Registration, dataset: Dataset, options: DataOptions, table: str, overrides: Iterable[str]
) -> DataOptions:
    """The options to read a table with; raises `CallError` for overrides that the source can't take."""
    fields = registration.options.model_fields
    values = options.model_dump(by_alias=True)
    if registration.type != values["source"]:
        names = {"inputs": dataset.input_names, "target": dataset.target_names}
        values = {"source": registration.type, **{key: value for key, value in names.items() if key in fields}}
    for text in overrides:
        key, value = option_of(text)
        values[key] = value
    values["path"] = table
    try:
        return cast("DataOptions", registration.options.model_validate(values))
    except ValidationError as error:
        problems = problems_of(error, registration.options, values)
        raise CallError("\n".join(f"--set {problem}" for problem in problems)) from None


def option_of(text: str) -> tuple[str, JsonValue]:
    """Key and value of `key=value`: a value that isn't YAML, such as a comma, is text."""
    name, equals, written = text.partition("=")
    path = parse_path(name.strip())
    if not equals or path is None:
        raise CallError(f"--set {text!r} isn't key=value; write it as separator=';'")
    key = format_path(path).removeprefix("data.")
    try:
        return key, parse_override(text).value
    except SpecError:
        return key, written
