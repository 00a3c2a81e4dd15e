"""The estimator for labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from .selector import StructureSelector


class StructureClassifier(ClassifierMixin, StructureSelector):  # type: ignore[misc]
    """Chooses the structure of a network for labels.

    Parameters and attributes are those of `StructureSelector`, and `classes_`, the labels in order. The likelihood is
    categorical, unless `spec` names another.
    """

    target_kinds = ("classes", "binary")
    default_likelihood = "categorical"

    def fit(self, X: Any, y: Any) -> Self:
        """Choose among structures on rows X (rows, features) with labels y (rows,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} got 1 class, {self.classes_.tolist()[0]!r}; expected at least 2")
        return self._fit(X, codes.reshape(-1, 1))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of every class in the order of `classes_` for rows X: (rows, classes)."""
        mean = self.posterior_predictive(X).mean
        return np.hstack([1 - mean, mean]) if mean.shape[1] == 1 else mean

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label for rows X: (rows,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])
