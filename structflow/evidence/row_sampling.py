"""What estimating on a sample of the rows adds to the error of log evidence.

With ℓ_i = E_q log p(y_i | x_i, w) of a row, n of the N training rows drawn without replacement give

    Σ_i ℓ_i ≈ (N / n) Σ_{i in sample} ℓ_i,    standard error N √((1 − n/N) s² / n),    s² = Σ (ℓ_i − mean)² / (n − 1).

It is the error of the bound at the parameters that were trained. For other estimates it is so to first order, as
∂ log p(y) / ∂(weight of row i) = E log p(y_i | x_i, w) under the posterior, for which q stands. Two structures are
compared on the same rows, so that the error of their gap is that of the differences ℓ_i − ℓ'_i, which is far smaller.
"""

from __future__ import annotations

import numpy as np


def row_sampling_error(by_row: np.ndarray, rows: int) -> np.ndarray:
    """Standard errors of sums over all `rows` from values (…, n) of n rows drawn without replacement, (…,)."""
    n = by_row.shape[-1]
    if n >= rows or n < 2:
        return np.zeros(by_row.shape[:-1])
    error: np.ndarray = rows * np.sqrt((1 - n / rows) * by_row.var(axis=-1, ddof=1) / n)
    return error
