"""Weights in random order: the baseline of every criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Relevance, WeightVectors

if TYPE_CHECKING:
    from torch import Tensor


class Random(Relevance):
    """A random order, by each member's own noise: what a criterion has to be better than."""

    type = "random"

    @staticmethod
    def scores(options: Any, weights: WeightVectors, kept: Tensor) -> Tensor:
        """Standard normals, which have no ties."""
        return weights.normals(1, "random_relevance")[:, 0]
