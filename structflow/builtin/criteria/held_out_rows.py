"""What criteria that hold rows out have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...plugins import Criterion, Estimate, LevelFactors, ScoredMembers


class HeldOutRows(Criterion):
    """L = m/m_k log p(y outside fold k | w) + c_reg log p(w | h); Q and the score are Σ_k log p(y in fold k | w_k)."""

    label = "held-out log lik."
    trains_point = True

    @staticmethod
    def factors(options: Any, given: LevelFactors, is_point: bool) -> LevelFactors:
        return LevelFactors(given.c_reg, 1.0, 0.0, 0.0)

    @staticmethod
    @abstractmethod
    def fold_of_row(options: Any, rows: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
        """Which fold holds out each row."""

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return Estimate.of_samples(terms.log_likelihood for terms in members.terms)


def fewest(labels: np.ndarray | None) -> int:
    """How often the rarest label occurs; 0 without labels."""
    return 0 if labels is None else int(np.unique(labels, return_counts=True)[1].min())


def numbered(rows: int, held_out: Iterable[np.ndarray]) -> np.ndarray:
    """For every row the number from 1 of the set that holds it, 0 for the others, (rows,)."""
    numbers = np.zeros(rows, dtype=np.int64)
    for number, places in enumerate(held_out, start=1):
        numbers[places] = number
    return numbers
