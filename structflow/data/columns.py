"""Named columns to a table: which columns are inputs and targets, and what their values are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Problem, SpecError
from ..plugins import ColumnOptions, InputTable, Table
from .nearest import did_you_mean, listing

if TYPE_CHECKING:
    import pandas

SAVED_NUMBERS = r"Unnamed: \d+"


def choose_columns(names: Sequence[str], options: ColumnOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the input columns and of the target columns.

    Raises `SpecError` for duplicate or missing columns, for a column that is both, and if no input is left.
    """
    problems = duplicate_columns(names)
    problems += unknown_columns(names, options.target, "data.target")
    problems += unknown_columns(names, options.inputs or (), "data.inputs")
    problems += repeated_choices(options.target, "data.target") + repeated_choices(options.inputs or (), "data.inputs")
    for name in options.inputs or ():
        if name in options.target:
            message = f"column {name!r} is both an input and a target; expected one of the two"
            problems.append(Problem("data.inputs", message, "take it out of `inputs`"))
    inputs = options.inputs or tuple(name for name in names if name not in options.target)
    if options.inputs is None and (numbers := [name for name in inputs if re.fullmatch(SAVED_NUMBERS, name)]):
        message = (
            f"column {numbers[0]!r} seems to hold saved row numbers: pandas gives this name to columns without one"
        )
        problems.append(Problem("data.inputs", message, "list the columns to use in `inputs`, or name the column"))
    if options.inputs is None and "" in inputs:
        message = f"column {names.index('') + 1} has no name; expected a name for every column"
        remedy = "name it in the header, or list the columns to use in `inputs` (saved row numbers look like this)"
        problems.append(Problem("data.inputs", message, remedy))
    if not inputs and not problems:
        message = f"all {len(names)} columns are targets; expected at least one input column"
        problems.append(Problem("data.target", message, "take a column out of `target`"))
    if problems:
        raise SpecError(problems)
    return inputs, options.target


def choose_inputs(names: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
    """The `wanted` input columns of a table to predict for; raises `SpecError` for duplicate or missing ones."""
    problems = duplicate_columns([name for name in names if name in wanted])
    for name in wanted:
        if name not in names or not name:
            message = f"there is no column {name!r}, which the run was trained with; the table has {listing(names)}"
            remedy = header_hint(names) or rename_hint(name, names, wanted)
            problems.append(Problem("data.inputs", message, remedy))
    if problems:
        raise SpecError(problems)
    return wanted


def rename_hint(name: str, names: Sequence[str], wanted: Sequence[str]) -> str:
    """What to do where a table to predict for lacks one of the `wanted` columns."""
    likely = did_you_mean(name, [each for each in names if each not in wanted])
    hint = f"{likely} " if likely else ""
    return f"{hint}add it, or rename the column that holds it; the inputs of the training table are {listing(wanted)}"


def duplicate_columns(names: Sequence[str]) -> list[Problem]:
    """A problem for every name that several columns have; unnamed columns are another matter."""
    return [
        Problem("data.path", f"{count} columns are named {name!r}; expected different names", "rename all but one")
        for name, count in Counter(names).items()
        if count > 1 and name
    ]


def unknown_columns(names: Sequence[str], wanted: Sequence[str], key: str) -> list[Problem]:
    """A problem for every wanted column that isn't there."""
    problems = []
    for name in wanted:
        if name not in names or not name:
            message = f"there is no column {name!r}; expected one of {listing(names)}"
            problems.append(Problem(key, message, header_hint(names) or did_you_mean(name, names)))
    return problems


def header_hint(names: Sequence[str]) -> str | None:
    """What to do where the first line can't be the names of the columns, or is one name made of several."""
    mark = likely_separator(names)
    if mark is not None:
        return f"set `separator: {json.dumps(mark)}`, which seems to separate the columns"
    return "the first line must hold the names of the columns" if names and all(map(is_number, names)) else None


def likely_separator(names: Sequence[str]) -> str | None:
    """The character that seems to separate the columns of a text table that was read as a single one."""
    return next((mark for mark in ";\t|," if mark in names[0]), None) if len(names) == 1 else None


def repeated_choices(wanted: Sequence[str], key: str) -> list[Problem]:
    """A problem for every column that is listed twice."""
    return [
        Problem(key, f"column {name!r} is listed {count} times; expected once", "remove the repetition")
        for name, count in Counter(wanted).items()
        if count > 1
    ]


def is_number(text: str) -> bool:
    """Whether the text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def table_from_frame(
    frame: pandas.DataFrame,
    inputs: Sequence[str],
    targets: Sequence[str],
    missing_text: Mapping[str, str] | None = None,
) -> Table:
    """The table of these columns: inputs (rows, inputs) in float64, targets (rows, targets) numbers or labels.

    If an input column holds text, the inputs are an array of objects instead, so that `prepare` can name the value
    together with everything else that is wrong.
    """
    found = inputs_from_frame(frame, inputs, missing_text)
    targets_of_rows = stack_columns([column_values(frame[name]) for name in targets])
    return Table(found.inputs, targets_of_rows, found.input_names, tuple(targets), found.missing_text)


def inputs_from_frame(
    frame: pandas.DataFrame, inputs: Sequence[str], missing_text: Mapping[str, str] | None = None
) -> InputTable:
    """The inputs alone."""
    values = stack_columns([column_values(frame[name]) for name in inputs])
    values = values if values.dtype == object else values.astype(np.float64)
    return InputTable(values, tuple(inputs), missing_text or {})


def column_values(column: pandas.Series[Any]) -> np.ndarray:
    """One column (rows,): its numbers as they are, missing ones NaN; anything else as objects, missing ones None."""
    from pandas.api.types import is_complex_dtype, is_numeric_dtype

    if is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype):
        if column.isna().any():
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        values = column.to_numpy()
        return values if values.dtype != object else np.asarray(column.to_numpy(dtype=np.float64))
    return np.asarray(column.astype(object).where(column.notna(), None), dtype=object)


def stack_columns(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Columns side by side, (rows, columns): numbers in their common dtype, or objects if any column has them."""
    if all(column.dtype.kind in "biuf" for column in columns):
        return np.column_stack(columns)
    stacked = np.empty((len(columns[0]), len(columns)), dtype=object)
    for index, column in enumerate(columns):
        stacked[:, index] = column
    return stacked
