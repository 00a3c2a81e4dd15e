"""A table becomes a dataset: checks, split, standardisation with the moments of the training rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..errors import PluginError, Problem, SpecError
from ..plugins import ColumnOptions, DataOptions, Table, TargetKind
from . import keys
from .checks import Columns, finite_values, to_numbers, varying_values, whole_counts
from .dataset import Dataset
from .labels import encode, missing_labels, unseen_labels, wrong_binary, wrong_classes
from .moments import moments
from .split import split_rows


@dataclass
class Part:
    """Inputs or targets as (rows, columns), with shift and scale (columns,), labels and what is wrong."""

    values: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    classes: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)


def prepare(table: Table, options: DataOptions, target_kind: TargetKind, keep_constant: bool = False) -> Dataset:
    """Check, split and standardise `table`; raises one `SpecError` with everything that is wrong with the data.

    A column that is constant on the training rows can't be standardised: an error, or with `keep_constant` it is
    only shifted to 0. Raises `PluginError` if the parts of the table don't fit together, which is a fault of the
    source.
    """
    check_contract(table)
    rows = len(table.inputs)
    if rows == 0:
        raise SpecError.single(keys.rows_key(options), "there are 0 rows; expected at least 2", "choose other data")
    train_rows, test_rows = split_rows(rows, options.split)
    problems = enough_rows(rows, len(train_rows), options)
    inputs = prepare_inputs(table, options, train_rows, keep_constant)
    if target_kind in ("classes", "binary"):
        targets = prepare_labels(table, options, target_kind, train_rows, test_rows)
    else:
        targets = prepare_numbers(table, options, target_kind, train_rows, keep_constant)
    problems += inputs.problems + targets.problems
    if problems:
        raise SpecError(problems)
    shape = table.inputs.shape[1:]
    return Dataset(
        inputs=inputs.values.reshape(table.inputs.shape),
        targets=targets.values,
        train_rows=train_rows,
        test_rows=test_rows,
        input_shift=inputs.shift.reshape(shape),
        input_scale=inputs.scale.reshape(shape),
        target_shift=targets.shift,
        target_scale=targets.scale,
        classes=targets.classes,
        input_names=tuple(table.input_names),
        target_names=tuple(table.target_names),
        target_kind=target_kind,
    )


def check_contract(table: Any, source: str = "the data source") -> None:
    """Raise `PluginError` unless this is a table whose shapes and names fit together."""
    if not isinstance(table, Table):
        raise PluginError(f"{source} gave {type(table).__name__}; expected a structflow.plugins.Table")
    inputs: Any = table.inputs
    targets: Any = table.targets
    if not isinstance(inputs, np.ndarray) or not isinstance(targets, np.ndarray):
        got = f"inputs as {type(inputs).__name__} and targets as {type(targets).__name__}"
        raise PluginError(f"{source} gave {got}; expected NumPy arrays: np.asarray(…)")
    if inputs.ndim < 2 or targets.ndim != 2 or len(inputs) != len(targets) or 0 in inputs.shape[1:] + targets.shape[1:]:
        raise PluginError(
            f"{source} gave inputs of shape {inputs.shape} and targets of shape {targets.shape}; "
            "expected (rows, *input_shape) and (rows, targets)"
        )
    n_names = inputs.shape[1] if inputs.ndim == 2 else 1
    if len(table.input_names) != n_names or len(table.target_names) != targets.shape[1]:
        raise PluginError(
            f"{source} gave {len(table.input_names)} input names and {len(table.target_names)} target names; "
            f"expected {n_names} and {targets.shape[1]}"
        )


def enough_rows(rows: int, n_train: int, options: DataOptions) -> list[Problem]:
    """A problem if fewer than two rows are left to train on."""
    if n_train >= 2:
        return []
    if rows < 2:
        return [Problem(keys.rows_key(options), "there is 1 row; expected at least 2 to train on", "choose other data")]
    left = "no row" if n_train == 0 else "1 row"
    message = f"{options.split.test} of {rows} rows held out leaves {left} to train on; expected at least 2"
    most = math.floor(100 * max(0, rows - 2) / rows) / 100
    return [Problem("data.split.test", message, f"try {most:g} or less")]


def prepare_inputs(table: Table, options: DataOptions, train_rows: np.ndarray, keep_constant: bool) -> Part:
    """Inputs (rows, columns), standardised on request, and what is wrong with them."""
    columns = input_columns(table, options)
    numbers, problems, text = to_numbers(table.inputs, columns)
    problems += finite_values(numbers, columns, skip=text)
    return standardized(numbers, columns, problems, train_rows, options.standardize.inputs, keep_constant)


def input_columns(table: Table, options: DataOptions) -> Columns:
    """The input columns for messages."""
    remedy = "leave the column out with `inputs`" if isinstance(options, ColumnOptions) else "remove it from the data"
    names, shape = tuple(table.input_names), table.inputs.shape[1:]
    return Columns("input", keys.inputs_key(options), names, shape, remedy, missing_text=table.missing_text)


def target_columns(table: Table, options: DataOptions, remedy: str) -> Columns:
    """The target columns for messages."""
    names, shape = tuple(table.target_names), table.targets.shape[1:]
    return Columns("target", keys.target_key(options), names, shape, remedy, missing_text=table.missing_text)


def prepare_numbers(
    table: Table, options: DataOptions, target_kind: TargetKind, train_rows: np.ndarray, keep_constant: bool
) -> Part:
    """Targets (rows, targets) that are continuous, standardised on request, or counts."""
    columns = target_columns(table, options, "choose another target")
    labels = "for labels choose a likelihood over classes, such as categorical; else another target"
    numbers, problems, text = to_numbers(table.targets, replace(columns, remedy=labels))
    problems += finite_values(numbers, columns, skip=text)
    if target_kind == "counts":
        problems += whole_counts(numbers, columns)
    wanted = target_kind == "continuous" and options.standardize.targets
    return standardized(numbers, columns, problems, train_rows, wanted, keep_constant)


def standardized(
    numbers: np.ndarray,
    columns: Columns,
    problems: list[Problem],
    train_rows: np.ndarray,
    wanted: bool | Literal["together"],
    keep_constant: bool,
) -> Part:
    """(numbers − shift) / scale with the moments of the training rows; unchanged unless `wanted`.

    `together` takes one shift and one scale, those of all columns as if they were a single one.
    """
    shift, scale = np.zeros(numbers.shape[1]), np.ones(numbers.shape[1])
    if not wanted or len(train_rows) < 2:
        return Part(numbers, shift, scale, problems=problems)
    if wanted == "together":
        shift, scale = (np.repeat(moment, numbers.shape[1]) for moment in moments(numbers[train_rows].reshape(-1, 1)))
    else:
        shift, scale = moments(numbers[train_rows])
    if keep_constant:
        scale = np.where(scale == 0, 1.0, scale)
    problems = problems + varying_values(scale, columns)
    if problems:
        return Part(numbers, shift, scale, problems=problems)
    with np.errstate(over="ignore", invalid="ignore"):
        values = (numbers - shift) / scale
    return Part(values, shift, scale, problems=finite_values(values, columns, skip=set()))


def prepare_labels(
    table: Table,
    options: DataOptions,
    target_kind: TargetKind,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    least_rows: int = 2,
) -> Part:
    """Targets (rows, targets) as codes of their labels; labels of held-out rows alone are told of from so many
    training rows on.
    """
    columns = target_columns(table, options, "choose another target")
    codes, classes = encode(table.targets)
    problems = missing_labels(table.targets, codes, columns)
    wrong = (
        wrong_classes(codes, classes, columns) if target_kind == "classes" else wrong_binary(codes, classes, columns)
    )
    problems += wrong
    if not wrong and len(train_rows) >= least_rows:
        problems += unseen_labels(codes, classes, train_rows, test_rows, columns)
    n_targets = table.targets.shape[1]
    return Part(codes, np.zeros(n_targets), np.ones(n_targets), classes, problems)
