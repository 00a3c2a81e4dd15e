"""The normal distribution with a diagonal covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...plugins import START_SD, WeightPosterior

if TYPE_CHECKING:
    from torch import Tensor

HALF_LOG_TWO_PI_E = 0.5 * math.log(2 * math.pi * math.e)


class Diagonal(WeightPosterior):
    """q(w) = N(μ, diag α), independent weights, held as `mean` μ and `log_sd` ½ log α, (n,) each.

    The mean-field family of Kingma and Welling, "Auto-encoding variational Bayes" (2014).
    """

    type = "diagonal"
    independent = True
    is_normal = True

    @staticmethod
    def start(options: Any, mean: Tensor, fan_in: Tensor) -> dict[str, Tensor]:
        """√α = 0.1 / √fan_in."""
        return {"mean": mean, "log_sd": (START_SD * fan_in.rsqrt()).log()}

    @staticmethod
    def noise(options: Any, n: int) -> int:
        """One a weight."""
        return n

    @staticmethod
    def draw(options: Any, parameters: dict[str, Tensor], noise: Tensor) -> Tensor:
        """μ + √α ε."""
        return parameters["mean"] + parameters["log_sd"].exp() * noise

    @staticmethod
    def entropy(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """½ Σ log 2πe α."""
        return (parameters["log_sd"] + HALF_LOG_TWO_PI_E).sum(-1)

    @staticmethod
    def log_prob(options: Any, parameters: dict[str, Tensor], weights: Tensor) -> Tensor:
        """Σ [−½ (w − μ)²/α − ½ log α − ½ log 2π]."""
        from ...distributions.normal import log_prob_diagonal

        return log_prob_diagonal(weights, parameters["mean"], parameters["log_sd"], keep=0)

    @staticmethod
    def variance(options: Any, parameters: dict[str, Tensor]) -> Tensor:
        """α."""
        return (2 * parameters["log_sd"]).exp()

    @staticmethod
    def mask(options: Any, parameters: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
        """μ = 0 and log α = 0 of removed weights."""
        return {name: value * kept for name, value in parameters.items()}

    @staticmethod
    def nearest(options: Any, mean: Tensor, precision: Tensor) -> dict[str, Tensor]:
        """α_i = 1 / P_ii."""
        return {"mean": mean, "log_sd": -0.5 * precision.log()}

    @staticmethod
    def parameter_count(options: Any, n: int) -> int:
        """2n."""
        return 2 * n
