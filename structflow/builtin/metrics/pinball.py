"""The pinball loss of a predictive quantile."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ...plugins import Metric, Options, Predicted


class PinballOptions(Options):
    """Keys of an entry of `metrics` with `type: pinball`."""

    quantile: float = Field(0.5, gt=0, lt=1, description="Probability τ of the predictive quantile.")


class Pinball(Metric):
    """mean max(τ (y − q), (τ − 1)(y − q)), q the predictive τ-quantile among the draws. Koenker and Bassett (1978).

    Its expectation is least for the quantile of the distribution that y is drawn from. With τ = ½ it is half of the
    mean absolute error of the predictive median.
    """

    type = "pinball"
    Options = PinballOptions
    targets = ("continuous", "counts")
    better = "lower"
    needs_draws = True

    @staticmethod
    def value(options: PinballOptions, predicted: Predicted, y: np.ndarray) -> float:
        above = y - np.quantile(predicted.draws, options.quantile, axis=0)
        return float(np.mean(np.maximum(options.quantile * above, (options.quantile - 1) * above)))
