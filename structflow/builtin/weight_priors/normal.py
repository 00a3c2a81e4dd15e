"""The normal prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import WeightPrior

if TYPE_CHECKING:
    from torch import Tensor


class Normal(WeightPrior):
    """w ~ N(0, 1/A): log p(w) = −½ A w² + ½ log A − ½ log 2π."""

    type = "normal"
    is_normal = True
    closed_form = True

    @staticmethod
    def log_prob(options: Any, weights: Tensor, log_precision: Tensor) -> Tensor:
        """−½ A w² + ½ log A − ½ log 2π."""
        from ...distributions.normal import HALF_LOG_TWO_PI

        return 0.5 * (log_precision - log_precision.exp() * weights.square()) - HALF_LOG_TWO_PI

    @classmethod
    def expected_log_prob(cls, options: Any, mean: Tensor, variance: Tensor, log_precision: Tensor) -> Tensor:
        """−½ A (μ² + α) + ½ log A − ½ log 2π."""
        from ...distributions.normal import HALF_LOG_TWO_PI

        return 0.5 * (log_precision - log_precision.exp() * (variance + mean.square())) - HALF_LOG_TWO_PI
