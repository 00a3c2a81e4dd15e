"""Hyperparameters drawn at random: the baseline of the methods that move them."""

from __future__ import annotations

from typing import Any

from ...errors import Problem
from ...plugins import Hypergradient


class RandomSearch(Hypergradient):
    """Every restart keeps the precisions that it drew at its start; the best restart is the answer.

    `prior.weights.start_range` says where they are drawn. Bergstra and Bengio, "Random search for hyper-parameter
    optimization" (2012).
    """

    type = "random_search"
    levels = 0

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        if spec.prior.weights.start_range is not None:
            return []
        return [
            Problem(
                "optimizer.outer",
                "got random_search, but prior.weights.start_range is not given: every restart would have one precision",
                "set prior.weights.start_range, such as [0.01, 100]",
            )
        ]
