"""The share of labels that are predicted right."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted


class Accuracy(Metric):
    """The share of rows whose most probable label is the observed one; of two labels, of rows and targets."""

    type = "accuracy"
    targets = ("classes", "binary")
    better = "higher"
    is_default = True
    order = 10

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        if predicted.target == "classes":
            return float(np.mean(predicted.mean.argmax(-1) == y[:, 0]))
        return float(np.mean((predicted.mean > 0.5) == (y > 0.5)))
