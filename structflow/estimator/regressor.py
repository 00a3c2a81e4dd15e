"""The estimator for numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from .selector import StructureSelector


class StructureRegressor(RegressorMixin, StructureSelector):  # type: ignore[misc]
    """Chooses the structure of a network for continuous targets or counts.

    Parameters and attributes are those of `StructureSelector`. The likelihood is gaussian with a learned noise, unless
    `spec` names another.
    """

    target_kinds = ("continuous", "counts")
    default_likelihood = "gaussian"

    def fit(self, X: Any, y: Any) -> Self:
        """Choose among structures on rows X (rows, features) with targets y, (rows,) or (rows, targets)."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        self._flat_target = y.ndim == 1
        return self._fit(X, np.asarray(y, dtype=np.float64).reshape(len(X), -1))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of y for rows X, shaped as y in `fit`; with `return_std` also its standard deviation."""
        prediction = self.posterior_predictive(X)
        mean, deviation = prediction.mean, prediction.standard_deviation
        if self._flat_target:
            mean, deviation = mean[:, 0], deviation[:, 0]
        return (mean, deviation) if return_std else mean

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
