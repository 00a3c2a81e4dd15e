"""Predictions for the rows of a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CallError
from .read import read_summary
from .run import Run


def predict_table(run: Path, table: Path, output: Path, best_only: bool, samples: int) -> int:
    """Write mean and standard deviation of every target, or the probability of every class; returns the rows.

    Raises `CallError` for a missing file or columns, and for inputs that aren't numbers.
    """
    import pandas

    if not read_summary(run)["ranking"]:
        raise CallError(f"the run in {run} has no ranking to predict with: all its members diverged or failed")
    try:
        frame = pandas.read_csv(table)
    except (OSError, ValueError) as error:
        raise CallError(f"can't read {table} as CSV: {error}") from None
    opened = Run(run)
    dataset = opened.context.study.dataset
    missing = [name for name in dataset.input_names if name not in frame.columns]
    if missing:
        raise CallError(f"{table} lacks the input columns {', '.join(missing)}; expected those of the training table")
    if frame.empty:
        raise CallError(f"{table} has no rows; expected at least one below the header")
    predict = opened.best.predict if best_only else opened.predict
    prediction = predict(numbers(frame[list(dataset.input_names)], table), samples)
    columns: dict[str, np.ndarray] = {}
    if dataset.target_kind == "classes":
        for index, label in enumerate(dataset.classes):
            columns[f"probability {label}"] = prediction.mean[:, index]
    else:
        for index, name in enumerate(dataset.target_names):
            columns[name] = prediction.mean[:, index]
            columns[f"{name} standard deviation"] = prediction.standard_deviation[:, index]
    pandas.DataFrame(columns).to_csv(output, index=False)
    return len(frame)


def numbers(frame: Any, table: Path) -> np.ndarray:
    """The values of a data frame; raises `CallError` naming the first that isn't a finite number."""
    import pandas

    columns = []
    for name in frame.columns:
        values = pandas.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            got = frame[name].iloc[wrong[0]]
            shown = "nothing" if pandas.isna(got) else repr(str(got))
            raise CallError(f"{table}: column {name!r} has {shown} in row {wrong[0] + 1}; expected a number")
        columns.append(values)
    return np.stack(columns, axis=1)
