"""The mean log predictive density."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted


class LogLikelihood(Metric):
    """(1/m) Σ_i log (1/S) Σ_s p(y_i | f_s(x_i)), in nats a row."""

    type = "log_likelihood"
    targets = ("continuous", "counts", "classes", "binary")
    better = "higher"
    is_default = True
    order = 30

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        return float(np.mean(predicted.log_density))
