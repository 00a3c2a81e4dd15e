"""The double exponential prior, also named after Laplace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...plugins import WeightPrior

if TYPE_CHECKING:
    from torch import Tensor

HALF_LOG_TWO = 0.5 * math.log(2)


class DoubleExponential(WeightPrior):
    """p(w) = √(A/2) exp(−√(2A) |w|), of variance 1/A as the normal prior: sharper at 0, with heavier tails.

    Its mode under a point is the lasso of Tibshirani, "Regression shrinkage and selection via the lasso" (1996).
    """

    type = "double_exponential"
    closed_form = True

    @staticmethod
    def log_prob(options: Any, weights: Tensor, log_precision: Tensor) -> Tensor:
        """½ log A − ½ log 2 − √(2A) |w|."""
        return density(log_precision, weights.abs())

    @classmethod
    def expected_log_prob(cls, options: Any, mean: Tensor, variance: Tensor, log_precision: Tensor) -> Tensor:
        """The same with E |w| = σ √(2/π) exp(−μ²/2σ²) + μ erf(μ / σ√2) for w ~ N(μ, σ²)."""
        import torch

        sd = variance.sqrt()
        ratio = mean / (sd * math.sqrt(2))
        size = sd * math.sqrt(2 / math.pi) * (-ratio.square()).exp() + mean * torch.erf(ratio)
        return density(log_precision, size)


def density(log_precision: Tensor, size: Tensor) -> Tensor:
    """½ log A − ½ log 2 − √(2A) s for s = |w|, or its expectation."""
    return 0.5 * log_precision - HALF_LOG_TWO - math.sqrt(2) * (0.5 * log_precision).exp() * size
