"""The continuous ranked probability score."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted


class Crps(Metric):
    """mean CRPS = E|Y − y| − ½ E|Y − Y'| over rows and targets, from S draws of Y. Gneiting and Raftery (2007).

    With draws in rising order E|Y − Y'| is estimated without bias by 2/(S (S − 1)) Σ_k (2k − S − 1) y_(k). In the
    target's units; of a point prediction it is the absolute error.
    """

    type = "crps"
    targets = ("continuous", "counts")
    better = "lower"
    needs_draws = True

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        draws = np.sort(predicted.draws, axis=0)
        count = len(draws)
        error = np.abs(draws - y).mean(axis=0)
        if count == 1:
            return float(np.mean(error))
        weights = (2 * np.arange(1, count + 1) - count - 1) / (count * (count - 1))
        return float(np.mean(error - np.tensordot(weights, draws, axes=1)))
