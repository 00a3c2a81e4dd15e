"""The edges that a distribution over structure weights is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor

from ..plugins import Space
from .numbers import normal

SPACES: tuple[Space, ...] = get_args(Space)
MOST_FUNCTIONS = 4
MEMBERS, SAMPLES = 3, 5
SUM = 1e-9
"""Error of a sum of γ."""


@dataclass(frozen=True)
class Case:
    """One edge: its space and the number K of its functions."""

    space: Space
    functions: int

    def __str__(self) -> str:
        return f"choose: {self.space} of K = {self.functions}"

    def concentration(self, *leading: int, seed: int = 1) -> Tensor:
        """log s, (…, K)."""
        return 0.5 * normal(*leading, self.functions, seed=seed)


CASES = [Case(space, functions) for space in SPACES for functions in range(1, MOST_FUNCTIONS + 1)]
