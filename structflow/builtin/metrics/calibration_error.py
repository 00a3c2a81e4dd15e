"""How far predicted probabilities are from observed shares.

Classes and two labels: the expected calibration error (Guo, Pleiss, Sun and Weinberger, "On calibration of modern
neural networks", 2017). Numbers and counts: the mean gap between the levels of predictive quantiles and what they
cover (Kuleshov, Fenner and Ermon, "Accurate uncertainties for deep learning using calibrated regression", 2018, who
add up squared gaps).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plugins import Metric, Predicted, TargetKind

CONFIDENCE_BINS = 15
"""Bins of equal width of the largest predicted probability."""

LEVELS = np.linspace(0.05, 0.95, 19)
"""Probabilities p whose predictive quantiles are compared with the share of rows below them."""


class CalibrationError(Metric):
    """How far predicted probabilities are from observed shares: of labels, or of rows below predictive quantiles."""

    type = "calibration_error"
    targets = ("continuous", "counts", "classes", "binary")
    better = "lower"
    is_default = True
    needs_pit = True
    order = 40

    @staticmethod
    def value(options: Any, predicted: Predicted, y: np.ndarray) -> float:
        if predicted.target in ("classes", "binary"):
            return label_calibration_error(predicted.target, y, predicted.mean)
        return quantile_calibration_error(predicted.pit)


def label_calibration_error(target: TargetKind, y: np.ndarray, probabilities: np.ndarray) -> float:
    """The expected calibration error of class probabilities (rows, classes), or of P(y = 1) (rows, targets).

    A label counts as predicted if its probability is the largest; two labels have the probabilities p and 1 − p.
    """
    if target == "classes":
        return expected_calibration_error(probabilities.max(-1), probabilities.argmax(-1) == y[:, 0])
    confidence = np.maximum(probabilities, 1 - probabilities)
    return expected_calibration_error(confidence.ravel(), ((probabilities > 0.5) == (y > 0.5)).ravel())


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """ECE = Σ_b (n_b / n) |share of correct predictions in b − mean confidence in b|, bins b = (k/15, (k + 1)/15].

    `confidence` and `correct` are (n,). NaN if a confidence is.
    """
    if not np.isfinite(confidence).all():
        return float("nan")
    bins = np.clip(np.ceil(confidence * CONFIDENCE_BINS).astype(int) - 1, 0, CONFIDENCE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CONFIDENCE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def quantile_calibration_error(transforms: np.ndarray) -> float:
    """(1/19) Σ_p |(share of u ≤ p) − p| over p = 0.05, 0.10, …, 0.95.

    u_i = F_i(y_i) with F_i the predictive CDF of row i is uniform where predictions are calibrated. n independent ones
    then give about (1/19) Σ_p √(2 p (1 − p) / (π n)) = 0.33/√n, not 0. The largest possible value is 0.5.
    NaN if a u is.
    """
    if not np.isfinite(transforms).all():
        return float("nan")
    shares = np.searchsorted(np.sort(transforms, axis=None), LEVELS, side="right") / transforms.size
    return float(np.abs(shares - LEVELS).mean())
