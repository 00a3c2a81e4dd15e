"""The root mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted


class Rmse(Metric):
    """√mean (y − E y)², over rows and targets."""

    type = "rmse"
    targets = ("continuous", "counts")
    better = "lower"
    is_default = True
    order = 10

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        return float(np.sqrt(np.mean((y - predicted.mean) ** 2)))
