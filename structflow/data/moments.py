"""Shift and scale: mean and standard deviation of the training rows."""

from __future__ import annotations

import numpy as np


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean m = Σ_i x_i / N and standard deviation s = √(Σ_i (x_i − m)² / N) over the rows of (rows, columns).

    s is exactly 0 for a column that is constant, which rounding in m would otherwise hide, and only for one, and NaN
    for one with values that aren't finite. Each column is first scaled by a power of two, which is exact, so that
    squares of very large or very small numbers neither overflow nor vanish. Back in their own units m and s are rounded
    to multiples of 2^−1074, as all numbers below 2^−1022 are.
    """
    with np.errstate(invalid="ignore"):
        exponent = np.frexp(np.max(np.abs(values), axis=0))[1]
        scaled = np.ldexp(values, -exponent)
        mean = scaled.mean(axis=0)
        deviation = np.sqrt(np.mean(np.square(scaled - mean), axis=0))
        constant = values.max(axis=0) == values.min(axis=0)
        smallest = np.finfo(deviation.dtype).smallest_subnormal
        return np.ldexp(mean, exponent), np.where(constant, 0.0, np.maximum(np.ldexp(deviation, exponent), smallest))
