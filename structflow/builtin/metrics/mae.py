"""The mean absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted


class Mae(Metric):
    """mean |y − E y|, over rows and targets."""

    type = "mae"
    targets = ("continuous", "counts")
    better = "lower"
    is_default = True
    order = 20

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        return float(np.mean(np.abs(y - predicted.mean)))
