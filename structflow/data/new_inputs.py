"""New inputs to predict for: numbers in the order of the training columns, by name where the columns have names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CallError, Problem
from ..plugins import Shape
from .checks import Columns, finite_values, to_numbers
from .columns import rename_hint, stack_columns
from .nearest import listing

REMEDY = "correct these values, or leave out their rows"


@dataclass(frozen=True)
class NamedColumns:
    """Columns that have names, whatever holds them: `column` gives the values (rows,) at a place of `names`."""

    kind: str
    names: tuple[Any, ...]
    column: Callable[[int], Any]


def new_inputs(raw: Any, names: Sequence[str], shape: Shape) -> np.ndarray:
    """`raw` as float64 (rows, *shape), columns in the order of `names`, those that the training table had.

    Columns with names (pandas, polars, Arrow, xarray, mappings, structured arrays) are found by them, whatever their
    order, and others that `names` lacks are ignored; anything else is an array whose columns are in that order.
    Raises `CallError` for columns that are missing or there twice, for another shape, and for a value that is missing,
    infinite or not a number, with its row and its column.
    """
    if hasattr(raw, "to_frame") and hasattr(raw, "iloc"):  # its labels would be lost, whatever their order
        remedy = "give a data frame: series.to_frame().T for one row, series.to_frame() for one column"
        raise CallError(f"new inputs are a {type(raw).__name__}; expected (rows, columns): {remedy}")
    found = named_columns(raw)
    values = as_array(raw) if found is None else by_name(found, names, shape)
    if values.ndim == 0 or values.shape[1:] != shape:
        expected = ", ".join(["rows", *map(str, shape)])
        remedy = one_axis_remedy(values, names, shape)
        raise CallError(f"new inputs have shape {values.shape}; expected ({expected}) as in the training data{remedy}")
    if len(values) == 0:
        return np.zeros(values.shape)
    columns = Columns("input", "", tuple(names), shape, "")
    numbers, problems, text = to_numbers(values.reshape(len(values), -1), columns)
    refuse([*problems, *finite_values(numbers, columns, skip=text)])
    return numbers.reshape(values.shape)


def refuse(problems: Sequence[Problem]) -> None:
    """Raise `CallError` with these problems of new inputs, if there are any."""
    if problems:
        lines = [f"new inputs: {problem.message}" for problem in problems]
        raise CallError("\n".join([*lines, REMEDY]))


def one_axis_remedy(values: np.ndarray, names: Sequence[str], shape: Shape) -> str:
    """What to do with one row, or one column, that was given without the other axis."""
    if values.ndim != 1 or len(shape) != 1:
        return ""
    if len(values) == len(names):
        return ": for one row, reshape it to (1, -1)"
    return ": reshape it to (-1, 1)" if shape == (1,) else ""


def as_array(raw: Any) -> np.ndarray:
    """Numbers or objects; masked values are missing ones."""
    if isinstance(raw, np.ma.MaskedArray):
        objects = raw.data.astype(object)
        objects[np.ma.getmaskarray(raw)] = None
        return np.asarray(objects)
    try:
        return np.asarray(raw)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CallError(f"new inputs can't be read as an array: {error}") from error


def named_columns(raw: Any) -> NamedColumns | None:
    """The columns of something that names them; None where it has no names, as a data frame made of an array."""
    if isinstance(raw, np.ndarray) and raw.dtype.names is not None:
        return NamedColumns("structured array", raw.dtype.names, lambda place: raw[raw.dtype.names[place]])
    if hasattr(raw, "iloc") and hasattr(raw, "columns"):
        numbered = all(isinstance(name, int | np.integer) for name in raw.columns)
        if numbered and list(raw.columns) == list(range(len(raw.columns))):
            return None
        return NamedColumns("data frame", tuple(raw.columns), lambda place: raw.iloc[:, place])
    if hasattr(raw, "column_names") and hasattr(raw, "column"):
        return NamedColumns("table", tuple(raw.column_names), lambda place: raw.column(place).to_pandas())
    if hasattr(raw, "get_columns") and hasattr(raw, "columns"):
        return NamedColumns("data frame", tuple(raw.columns), lambda place: raw.get_columns()[place].to_numpy())
    if isinstance(raw, Mapping):
        keys = tuple(raw)
        return NamedColumns("mapping", keys, lambda place: raw[keys[place]])
    return labelled_array(raw)


def labelled_array(raw: Any) -> NamedColumns | None:
    """The columns of an xarray array (rows, columns) whose second dimension has names as its coordinate."""
    if not (hasattr(raw, "dims") and hasattr(raw, "coords") and len(raw.dims) == 2 and raw.dims[1] in raw.coords):
        return None
    labels = tuple(np.asarray(raw.coords[raw.dims[1]]).tolist())
    if not all(isinstance(label, str) for label in labels):
        return None
    return NamedColumns("labelled array", labels, lambda place: raw[:, place])


def by_name(found: NamedColumns, names: Sequence[str], shape: Shape) -> np.ndarray:
    """The columns named, side by side: (rows, columns)."""
    if len(shape) != 1:
        expected = ", ".join(["rows", *map(str, shape)])
        raise CallError(f"new inputs are a {found.kind}, which has columns; expected an array ({expected})")
    present = [str(name) for name in found.names]
    counts = Counter(present)
    problems = [
        f"{counts[name]} columns are named {name!r}; expected one: rename or drop the others"
        for name in names
        if counts[name] > 1
    ]
    for name in names:
        if counts[name] == 0:
            remedy = rename_hint(name, present, names)
            problems.append(f"there is no column {name!r} among {listing(present)}: {remedy}")
    if problems:
        raise CallError("\n".join(f"new inputs: {problem}" for problem in problems))
    columns = [column_values_of(found, present.index(name)) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise CallError("new inputs have columns of different lengths: " + lengths(names, columns))
    return stack_columns(columns)


def column_values_of(found: NamedColumns, place: int) -> np.ndarray:
    """One column (rows,), numbers as they are and anything else as objects."""
    from pandas import Series

    from .columns import column_values

    column = found.column(place)
    if isinstance(column, Series):
        return column_values(column)
    values = as_array(column)
    if values.ndim != 1:
        raise CallError(f"new inputs: column {found.names[place]!r} has shape {values.shape}; expected (rows,)")
    return values if values.dtype.kind in "biuf" else column_values(Series(values))


def lengths(names: Sequence[str], columns: Sequence[np.ndarray]) -> str:
    """How many rows each column has."""
    return ", ".join(f"{name!r} has {len(column)}" for name, column in zip(names, columns, strict=True))
