"""Mean and standard deviation of columns that pass by in pieces, without holding them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class RunningMoments:
    """Of n rows so far, for every column: mean m, sum of squares M = Σ_i (x_i − m)², smallest and largest value.

    Two parts are merged by m = m_a + δ n_b / n and M = M_a + M_b + δ² n_a n_b / n, δ = m_b − m_a, in float64 (Chan,
    Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
    """

    rows: int
    mean: np.ndarray
    squares: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> RunningMoments:
        """The moments of (rows, columns), at least one row."""
        mean = values.mean(axis=0)
        centred = values - mean
        squares = np.einsum("rc,rc->c", centred, centred)
        return cls(len(values), mean, squares, values.min(axis=0), values.max(axis=0))

    def merged(self, other: RunningMoments) -> RunningMoments:
        """The moments of the rows of both."""
        rows = self.rows + other.rows
        delta = other.mean - self.mean
        return RunningMoments(
            rows,
            self.mean + delta * (other.rows / rows),
            self.squares + other.squares + delta**2 * (self.rows * other.rows / rows),
            np.minimum(self.least, other.least),
            np.maximum(self.most, other.most),
        )

    def together(self) -> RunningMoments:
        """The moments of all columns as if they were a single one, repeated for every column."""
        parts = [
            RunningMoments(self.rows, *(np.array([value[column]]) for value in self._values))
            for column in range(len(self.mean))
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total.merged(part)
        columns = len(self.mean)
        return RunningMoments(total.rows, *(np.repeat(value, columns) for value in total._values))

    @property
    def _values(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.mean, self.squares, self.least, self.most

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviations √(M / n), exactly 0 for a column that is constant."""
        return np.where(self.least == self.most, 0.0, np.sqrt(self.squares / self.rows))
