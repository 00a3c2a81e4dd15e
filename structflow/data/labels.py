"""Labels to codes: classes 0..C−1 in one column, or 0 and 1 in each of several."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from ..errors import Problem
from .checks import Columns, shortened
from .nearest import listing


def label_text(value: Any) -> str:
    """The name of a label: whole numbers without a decimal point, so that 1 and 1.0 are the same label."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return str(int(value)) if np.isfinite(value) and float(value).is_integer() else repr(float(value))
    return str(value)


def encode(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes in float64 of the shape of `labels`, and the names of the labels in the order of their codes.

    Numbers are ordered by value, text by its characters. Missing labels get code −1 and no name.
    """
    from pandas import isna

    values = labels if labels.dtype.kind in "biuf" else labels.astype(object)
    missing = np.asarray(isna(values))
    by_text: dict[str, Any] = {}
    if values.dtype == object:
        for value in values[~missing]:
            by_text.setdefault(label_text(value), value)
    else:
        by_text = {label_text(value): value for value in np.unique(values[~missing])}
    numeric = all(isinstance(value, int | float | Decimal | np.number | np.bool_) for value in by_text.values())
    names = sorted(by_text, key=lambda text: by_text[text]) if numeric else sorted(by_text)
    code_of = {text: float(code) for code, text in enumerate(names)}
    codes = np.full(values.shape, -1.0)
    if values.dtype == object:
        codes[~missing] = [code_of[label_text(value)] for value in values[~missing]]
    else:
        codes[~missing] = np.searchsorted(np.unique(values[~missing]), values[~missing])
    return codes, tuple(names)


def codes_of(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Codes in float64 of labels whose names are known, of the shape of `labels`; NaN for a label that isn't."""
    code_of = {text: float(code) for code, text in enumerate(names)}
    if labels.dtype.kind in "biuf":
        distinct, places = np.unique(labels, return_inverse=True)
        known = np.array([code_of.get(label_text(value), np.nan) for value in distinct])
        return known[places].reshape(labels.shape)
    flat = [code_of.get(label_text(value), np.nan) for value in labels.ravel()]
    return np.array(flat, dtype=np.float64).reshape(labels.shape)


def missing_labels(labels: np.ndarray, codes: np.ndarray, columns: Columns) -> list[Problem]:
    """A problem for every column with a missing or infinite label."""
    wrong = codes < 0
    if labels.dtype.kind == "f":
        wrong = wrong | ~np.isfinite(labels)
    problems = []
    for index in np.flatnonzero(wrong.any(axis=0)).tolist():
        row = int(np.argmax(wrong[:, index]))
        place = f"target column {columns.name(index)!r} has no finite label in row {columns.row(row)}"
        message = f"{place}{columns.of_word(index) or f': {labels[row, index]}'}"
        remedy = f"fill in or remove the row{columns.keeping_word(index)}"
        problems.append(Problem(columns.key, f"{message}; expected a label in every row", remedy))
    return shortened(problems)


def wrong_classes(codes: np.ndarray, names: tuple[str, ...], columns: Columns) -> list[Problem]:
    """Problems of the targets (rows, targets) as classes: more than one column, or just one class."""
    if codes.shape[1] != 1:
        message = f"there are {codes.shape[1]} target columns; expected one for a likelihood over classes"
        return [Problem(columns.key, message, "name one column, or use a likelihood over two labels for each")]
    if len(names) == 1:
        message = f"all rows have the label {names[0]!r}; expected at least two classes"
        return [Problem(columns.key, message, "choose another target column")]
    return []


def wrong_binary(codes: np.ndarray, names: tuple[str, ...], columns: Columns) -> list[Problem]:
    """Problems of the targets (rows, targets) as two labels: other than two overall, or just one in a column."""
    if len(names) != 2:
        found = f"{len(names)} labels in the target: {listing(names)}"
        remedy = "choose another target column" if len(names) < 2 else "choose a likelihood over several classes"
        return [Problem(columns.key, f"{found}; expected exactly two", remedy)]
    constant = [index for index in range(codes.shape[1]) if len(np.unique(codes[codes[:, index] >= 0, index])) < 2]
    return [
        Problem(columns.key, f"target column {columns.name(index)!r} has only one label; expected two", "leave it out")
        for index in constant
    ]


def unseen_labels(
    codes: np.ndarray, names: tuple[str, ...], train_rows: np.ndarray, test_rows: np.ndarray, columns: Columns
) -> list[Problem]:
    """A problem for every column with labels that only held-out rows have, so that nothing could learn them."""
    problems = []
    for index in range(codes.shape[1]):
        unseen = np.setdiff1d(codes[test_rows, index], codes[train_rows, index])
        labels = [names[int(code)] for code in unseen if code >= 0]
        if labels:
            which = f"label{'s' if len(labels) > 1 else ''} {listing(labels)} of column {columns.name(index)!r}"
            message = f"{which} only in held-out rows; expected every label among the training rows"
            problems.append(
                Problem("data.split.test", message, "hold out fewer rows, try another data.split.seed or merge classes")
            )
    return shortened(problems)
