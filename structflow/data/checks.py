"""What can be wrong with a table of numbers, each as a list of problems that name column, row and value.

Rows are counted from 1, as a person counts the rows of data below a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import Problem
from ..plugins import Shape
from .nearest import listing

PLAIN_NUMBERS = (
    "write numbers with a decimal point and no separator between thousands, or set `decimal` or `thousands` (csv)"
)

MOST_PROBLEMS = 10
"""How many problems of one kind are listed one by one."""


@dataclass(frozen=True)
class Columns:
    """The columns of one part of a table: their names, the key to look at, and the remedy if one can't be used.

    Of a table that is looked at piece by piece `first_row` is the number of rows before the piece. `missing_text` has,
    by the name of a column, the word in its first missing field.
    """

    role: Literal["input", "target"]
    key: str
    names: tuple[str, ...]
    shape: Shape
    remedy: str
    first_row: int = 0
    missing_text: Mapping[str, str] = field(default_factory=dict)

    def row(self, index: int) -> int:
        """The number of a row of the piece as a person counts the rows of the table."""
        return self.first_row + index + 1

    def name(self, index: int) -> str:
        """Name of a column, or of one element of inputs with several axes, by its position in the flat row."""
        if len(self.shape) == 1:
            return self.names[index]
        position = ", ".join(str(axis) for axis in np.unravel_index(index, self.shape))
        return f"{self.names[0]}[{position}]"

    def word(self, index: int) -> str:
        """What the file holds where a column has its first missing value; empty where that is nothing."""
        return self.missing_text.get(self.name(index), "")

    def of_word(self, index: int) -> str:
        """The same as a part of a message."""
        return f": the file holds {self.word(index)!r}, which is read as missing" if self.word(index) else ""

    def keeping_word(self, index: int) -> str:
        """The same as a part of a remedy."""
        if not self.word(index):
            return ""
        return f"; to keep {self.word(index)!r}, set `missing_values` to the words that do mean missing, or to []"


def shortened(problems: list[Problem]) -> list[Problem]:
    """The first problems, and one that says how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return problems
    return [*problems[:MOST_PROBLEMS], Problem(problems[0].path, f"{more} more columns have the same problem")]


def to_numbers(values: np.ndarray, columns: Columns, copy: bool = True) -> tuple[np.ndarray, list[Problem], set[int]]:
    """Values of any dtype as float64 (rows, columns); the problem and the index of every column that holds text.

    Without `copy` values in float64 are returned themselves.
    """
    flat = values.reshape(len(values), -1)
    if flat.dtype.kind in "biuf":
        return flat.astype(np.float64, copy=copy), [], set()
    numbers = np.full(flat.shape, np.nan)
    problems = []
    text = set()
    for index in range(flat.shape[1]):
        column = as_objects(flat[:, index])
        row = first_text(column)
        if row is None:
            numbers[:, index] = without_missing(column)
            continue
        text.add(index)
        what = f"{columns.role} column {columns.name(index)!r} holds {kind_of(column[row])}"
        message = f"{what} in row {columns.row(row)}: {cell(column[row])}"
        remedy = f"{PLAIN_NUMBERS}, or {columns.remedy}" if is_formatted(column[row]) else columns.remedy
        problems.append(Problem(columns.key, f"{message}; expected numbers", remedy))
    return numbers, shortened(problems), text


def as_objects(column: np.ndarray) -> np.ndarray:
    """A column as objects; dates and durations stay what they are, where NumPy would make some of them numbers."""
    if column.dtype.kind in "mM":
        from pandas import Series

        return np.asarray(Series(column).astype(object))
    return column.astype(object)


def first_text(column: np.ndarray) -> int | None:
    """The row of the value that shows best that a column (rows,) isn't numeric; None if it is numeric.

    That is the first text that can't be read as a number, else the first text (numbers in quotes).
    """
    from pandas.api.types import infer_dtype

    if infer_dtype(column, skipna=True) in (
        "integer",
        "floating",
        "mixed-integer-float",
        "boolean",
        "decimal",
        "empty",
    ):
        return None
    first = None
    for row, value in enumerate(column):
        try:
            float(value if value is not None else np.nan)
        except (TypeError, ValueError, OverflowError):
            return row
        if first is None and isinstance(value, str | bytes):
            first = row
    return first


def is_formatted(value: object) -> bool:
    """Whether a text is a number with a decimal comma or with separators between thousands."""
    return isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+([.,'\u00a0\u202f ]\d+)+\s*", value) is not None


def kind_of(value: object) -> str:
    """What a value that isn't a number is called in a message."""
    if isinstance(value, str | bytes):
        return "text"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def without_missing(column: np.ndarray) -> np.ndarray:
    """A numeric column of objects (rows,) as float64, its missing values (None, NA) as NaN."""
    from pandas import isna

    numbers = np.full(len(column), np.nan)
    present = ~isna(column)
    numbers[present] = [as_float(value) for value in column[present]]
    return numbers


def as_float(value: float) -> float:
    """The value in float64, infinite if it is too large."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def cell(value: object) -> str:
    """One value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def finite_values(numbers: np.ndarray, columns: Columns, skip: set[int]) -> list[Problem]:
    """A problem for every column of (rows, columns) with a missing or infinite value, except those in `skip`."""
    wrong = ~np.isfinite(numbers)
    problems = []
    for index in np.flatnonzero(wrong.any(axis=0)).tolist():
        if index not in skip:
            row = int(np.argmax(wrong[:, index]))
            count = int(wrong[:, index].sum())
            others = f" and in {count - 1} more" if count > 1 else ""
            what = f"{columns.role} column {columns.name(index)!r} is {numbers[row, index]}"
            word = columns.of_word(index) if np.isnan(numbers[row, index]) else ""
            message = f"{what} in row {columns.row(row)}{others}{word}"
            remedy = f"fill in or remove the rows with missing or infinite values, or {columns.remedy}"
            problems.append(Problem(columns.key, f"{message}; expected finite numbers", remedy))
    return shortened(problems)


def varying_values(scale: np.ndarray, columns: Columns) -> list[Problem]:
    """One problem naming the columns whose scale on the training rows is 0, which can't be standardised."""
    constant = [columns.name(index) for index in np.flatnonzero(scale == 0).tolist()]
    if not constant:
        return []
    what = f"{columns.role} column{'s' if len(constant) > 1 else ''} {listing(constant)}"
    message = f"{what}: one and the same value in all training rows; expected values that vary, to standardise them"
    other = "together, or to false" if columns.role == "input" else "false"
    remedy = f"{columns.remedy}, or set data.standardize.{columns.role}s to {other}"
    return [Problem(columns.key, message, remedy)]


def whole_counts(numbers: np.ndarray, columns: Columns) -> list[Problem]:
    """A problem for every column of (rows, columns) with a finite value that isn't a whole number from 0 on."""
    wrong = np.isfinite(numbers) & ((numbers < 0) | (numbers != np.floor(numbers)))
    problems = []
    for index in np.flatnonzero(wrong.any(axis=0)).tolist():
        row = int(np.argmax(wrong[:, index]))
        message = f"target column {columns.name(index)!r} is {numbers[row, index]} in row {columns.row(row)}"
        remedy = "correct the value, or choose a likelihood for continuous targets"
        problems.append(Problem(columns.key, f"{message}; expected counts: whole numbers from 0 on", remedy))
    return shortened(problems)
