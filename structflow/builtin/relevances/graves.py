"""The signal of a weight against its posterior's spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import CallError, Problem
from ...plugins import Relevance, WeightVectors
from ...plugins.registry import registry

if TYPE_CHECKING:
    from torch import Tensor


class Graves(Relevance):
    """|μ_i| / √α_i for q(w_i) = N(μ_i, α_i): the smaller it is, the more likely q(w) finds w_i near zero.

    Its order is that of the relative density ρ_i = exp(−μ_i² / (2 α_i)), the largest first. Graves, "Practical
    variational inference for neural networks" (2011).
    """

    type = "graves"

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """A posterior without spread."""
        given = spec.posterior.weights.type
        if registry().get("weight_posteriors", given).has_density:
            return []
        message = f"got {given}; criterion graves divides by the standard deviation of the posterior"
        remedy = "set it to diagonal, with a criterion that trains a distribution, or leave graves out"
        return [Problem("posterior.weights.type", message, remedy)]

    @staticmethod
    def scores(options: Any, weights: WeightVectors, kept: Tensor) -> Tensor:
        """|μ| / √α; raises `CallError` where the posterior is a point."""
        spread = weights.variance.sqrt()
        if bool((kept & (spread == 0)).any()):
            raise CallError("criterion graves needs a posterior with a spread; got a point, whose variance is 0")
        return weights.mean.abs() / spread.where(kept, 1.0)
