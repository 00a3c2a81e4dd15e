"""A uniform sample of the rows that pass by, in memory for the sample alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .row_hash import row_hashes


@dataclass
class RowSample:
    """The `size` rows with the lowest keyed hashes of those that were offered, or all where there are fewer.

    All sets of so many rows are equally likely, and which it is depends on the key and the numbers of the rows alone,
    not on the chunks they came in.
    """

    key: str
    size: int
    hashes: list[np.ndarray] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)
    limit: int = 2**64

    def offer(self, begin: int, wanted: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> None:
        """Rows numbered from `begin`, of which those that `wanted` (rows,) calls true are offered."""
        hashes = row_hashes(self.key, begin, begin + len(wanted))
        chosen = np.flatnonzero(wanted & (hashes <= np.uint64(min(self.limit, 2**64 - 1))))
        if len(chosen) == 0:
            return
        self.hashes.append(hashes[chosen])
        self.numbers.append(begin + chosen)
        self.inputs.append(inputs[chosen])
        self.targets.append(targets[chosen])
        if sum(map(len, self.hashes)) > 2 * self.size:
            self._prune()

    def _prune(self) -> None:
        """Keep the rows of the lowest hashes."""
        parts = [np.concatenate(part) for part in (self.hashes, self.numbers, self.inputs, self.targets)]
        kept = np.argsort(parts[0], kind="stable")[: self.size]
        self.hashes, self.numbers, self.inputs, self.targets = ([part[kept]] for part in parts)
        if len(kept) == self.size:
            self.limit = int(self.hashes[0][-1])

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Numbers (rows,), inputs and targets of the sample in the order of their numbers; None if there are none."""
        if not self.hashes:
            return None
        self._prune()
        order = np.argsort(self.numbers[0])
        return self.numbers[0][order], self.inputs[0][order], self.targets[0][order]
