"""Which rows are held out, of a table in memory and of one that is streamed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..plugins import SplitOptions
from .row_hash import row_hashes

KEY_RANGE = 2**128
"""Philox takes keys of 128 bits."""

MOST_PERMUTED = 4_000_000
"""Rows up to which the held-out ones are the very rows that a table in memory would hold out."""


def split_rows(rows: int, split: SplitOptions) -> tuple[np.ndarray, np.ndarray]:
    """Sorted row numbers (int64) for training and for the test, round(test · rows) of them held out.

    They are the last rows, or a permutation seeded by `split.seed` picks them; so they depend on the number of rows
    and the split alone.
    """
    n_test = round(split.test * rows)
    if split.rows == "last":
        return np.arange(rows - n_test, dtype=np.int64), np.arange(rows - n_test, rows, dtype=np.int64)
    permutation = np.random.Generator(np.random.Philox(key=split.seed % KEY_RANGE)).permutation(rows)
    return np.sort(permutation[n_test:]).astype(np.int64), np.sort(permutation[:n_test]).astype(np.int64)


@dataclass(frozen=True)
class StreamSplit:
    """The split of so many rows.

    Up to `MOST_PERMUTED` rows it is that of a table in memory. Beyond, a row is held out where its keyed hash is among
    the lowest share `test` of all hashes, so that about that share of the rows is, and no permutation is held.
    `rows: last` is exact for any number.
    """

    rows: int
    options: SplitOptions

    def held_out(self, begin: int, end: int) -> np.ndarray:
        """Whether each of the rows numbered `begin` to `end` is held out, booleans."""
        if self.options.test == 0:
            return np.zeros(end - begin, dtype=bool)
        if self.options.rows == "last":
            return np.arange(begin, end) >= self.rows - round(self.options.test * self.rows)
        if self.rows <= MOST_PERMUTED:
            held_out: np.ndarray = self._held_out[begin:end]
            return held_out
        limit = np.uint64(min(int(self.options.test * 2.0**64), 2**64 - 1))
        lowest: np.ndarray = row_hashes(f"split/{self.options.seed}", begin, end) < limit
        return lowest

    @cached_property
    def _held_out(self) -> np.ndarray:
        mask = np.zeros(self.rows, dtype=bool)
        mask[split_rows(self.rows, self.options)[1]] = True
        return mask
