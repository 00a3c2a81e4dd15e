"""Named arrays, each with one row a case, to a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import Problem, SpecError
from ..plugins import InputTable, Table
from .columns import stack_columns
from .nearest import did_you_mean, listing

NUMBERS = "biuf"
TEXTS = "OSTU"


def table_from_arrays(
    known: Sequence[str], get: Callable[[str], np.ndarray], inputs: Sequence[str], targets: Sequence[str]
) -> Table:
    """The table of the arrays named in `inputs` and `targets`, out of the `known` ones that `get` returns.

    One input array keeps its shape (rows, *input_shape), several are put side by side as columns; targets are
    (rows,) or (rows, targets). Raises `SpecError` at `data.inputs` or `data.target` for a missing array, values that
    are neither numbers nor labels, unequal numbers of rows, or axes that don't fit.
    """
    refuse_unknown(known, inputs, targets)
    input_arrays = {name: np.asarray(get(name)) for name in inputs}
    target_arrays = {name: np.asarray(get(name)) for name in targets}
    refuse_unfit(input_arrays, target_arrays)
    input_values, input_names = side_by_side(input_arrays)
    target_values, target_names = side_by_side(target_arrays)
    return Table(input_values.astype(np.float64), target_values, input_names, target_names)


def inputs_from_arrays(known: Sequence[str], get: Callable[[str], np.ndarray], inputs: Sequence[str]) -> InputTable:
    """The inputs alone, with the same errors."""
    refuse_unknown(known, inputs, ())
    arrays = {name: np.asarray(get(name)) for name in inputs}
    refuse_unfit(arrays, {})
    values, names = side_by_side(arrays)
    return InputTable(values.astype(np.float64), names)


class ArrayForm(Protocol):
    """What an array is like, without its values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of rows, and of what a row has."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of the values."""


def check_arrays(
    known: Sequence[str], arrays: Mapping[str, ArrayForm], inputs: Sequence[str], targets: Sequence[str]
) -> None:
    """Raise the `SpecError` that `table_from_arrays` would, without reading values; `arrays` are those of the names."""
    refuse_unknown(known, inputs, targets)
    refuse_unfit({name: arrays[name] for name in inputs}, {name: arrays[name] for name in targets})


def refuse_unknown(known: Sequence[str], inputs: Sequence[str], targets: Sequence[str]) -> None:
    """Raise `SpecError` for names of arrays that aren't there."""
    problems = [
        Problem(key, f"there is no array {name!r}; expected one of {listing(known)}", did_you_mean(name, known))
        for key, wanted in (("data.inputs", inputs), ("data.target", targets))
        for name in wanted
        if name not in known
    ]
    if problems:
        raise SpecError(problems)


def refuse_unfit(input_arrays: Mapping[str, ArrayForm], target_arrays: Mapping[str, ArrayForm]) -> None:
    """Raise `SpecError` for values of a wrong kind, axes that don't fit, or unequal numbers of rows."""
    problems: list[Problem] = []
    for name, array in input_arrays.items():
        problems += wrong_values(array, name, "data.inputs", NUMBERS, most_axes=None if len(input_arrays) == 1 else 2)
    for name, array in target_arrays.items():
        problems += wrong_values(array, name, "data.target", NUMBERS + TEXTS, most_axes=2)
    if not problems:
        problems = unequal_rows({**input_arrays, **target_arrays})
    if problems:
        raise SpecError(problems)


def wrong_values(array: ArrayForm, name: str, key: str, kinds: str, most_axes: int | None) -> list[Problem]:
    """What is wrong with one array: its kind of values or its number of axes."""
    problems = []
    if array.dtype.kind not in kinds:
        expected = "numbers" if kinds == NUMBERS else "numbers or labels"
        remedy = f"convert it before saving, as {name}.astype(float)"
        if array.dtype.kind in "mMc":
            remedy = "save numbers in its place: times since a date, or real and imaginary parts"
        problems.append(Problem(key, f"array {name!r} holds {array.dtype}; expected {expected}", remedy))
    if array.ndim == 0 or 0 in array.shape[1:] or (most_axes is not None and array.ndim > most_axes):
        expected = "(rows,) or (rows, columns)" if most_axes else "(rows, ...)"
        message = f"array {name!r} has shape {array.shape}; expected {expected} with at least one column"
        remedy = "save an array with a row for every case"
        if array.ndim > 0 and 0 not in array.shape:
            remedy = f"reshape it before saving, as {name}.reshape(len({name}), -1)"
        problems.append(Problem(key, message, remedy))
    return problems


def unequal_rows(arrays: Mapping[str, ArrayForm]) -> list[Problem]:
    """A problem if the arrays differ in their number of rows."""
    rows = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(rows.values())) <= 1:
        return []
    counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
    return [Problem("data.inputs", f"{counts} rows; expected equal numbers", "name arrays that belong together")]


def side_by_side(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The arrays as one, and the names of its columns: a single name if it has several axes besides the rows."""
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        if array.ndim > 2:
            return array, (name,)
        if array.ndim == 2 and array.dtype.kind in NUMBERS:
            return array, tuple(f"{name}{index}" for index in range(array.shape[1]))
    columns: list[np.ndarray] = []
    names: list[str] = []
    for name, array in arrays.items():
        if array.ndim == 1:
            columns.append(as_numbers_or_text(array))
            names.append(name)
        else:
            columns += [as_numbers_or_text(array[:, index]) for index in range(array.shape[1])]
            names += [f"{name}{index}" for index in range(array.shape[1])]
    return stack_columns(columns), tuple(names)


def as_numbers_or_text(values: np.ndarray) -> np.ndarray:
    """Numbers unchanged; text and bytes (in UTF-8) as objects."""
    if values.dtype.kind in NUMBERS:
        return values
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    return values.astype(object)
