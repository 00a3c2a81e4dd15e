"""A series as a table of windows, each with the value that follows it."""

from __future__ import annotations

from typing import Literal

import numpy as np

Transform = Literal["none", "log", "difference", "log_difference"]


def transformed(values: np.ndarray, transform: Transform) -> np.ndarray:
    """x_t, log x_t, x_t − x_{t−1} or log x_t − log x_{t−1}; differences are one step shorter. Logs need x > 0."""
    if transform in ("log", "log_difference"):
        values = np.asarray(np.log(values))
    return np.asarray(np.diff(values)) if transform in ("difference", "log_difference") else values


def complete(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows without a missing value (NaN), inputs (rows, length) and targets (rows,).

    Nothing is filled in: a value between its neighbours would be made with one that is still to be forecast.
    """
    kept = np.isfinite(inputs).all(axis=1) & np.isfinite(targets)
    return inputs[kept], targets[kept]


def windows(values: np.ndarray, length: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, length) and targets (rows,): row i holds x_i … x_{i+length−1} and x_{i+length−1+horizon}.

    There are steps − length − horizon + 1 rows, which must be at least one; they stand in order of time.
    """
    targets = values[length + horizon - 1 :]
    inputs = np.lib.stride_tricks.sliding_window_view(values, length)[: len(targets)]
    return inputs.copy(), targets.copy()
