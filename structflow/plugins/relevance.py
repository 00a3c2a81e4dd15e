"""The contract of a criterion of the relevance of single weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import Problem
from .plugin import Plugin
from .weight_vectors import WeightVectors

if TYPE_CHECKING:
    from torch import Tensor


class Relevance(Plugin):
    """Says how much every single weight matters; the spec names it in `relevance.criteria`.

    The weight of the lowest score is removed first, that is, held at zero. Equal scores go in the order of the vector.
    One that is `sequential` is asked again after every removal, with the weights that are left; of the others, the
    first answer gives the whole order.
    """

    sequential: ClassVar[bool] = False

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """Settings of the validated spec that leave this criterion nothing to go by."""
        return []

    @staticmethod
    @abstractmethod
    def scores(options: Any, weights: WeightVectors, kept: Tensor) -> Tensor:
        """Scores of the weights of M members, (M, n) in float64, lowest goes first.

        `kept` (M, n) says which weights are left; places that it calls false are not read. Raises `CallError` where
        the posterior doesn't hold what the criterion needs.
        """
