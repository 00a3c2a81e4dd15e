"""scikit-learn's own checks of estimators, with settings small enough for its many fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from structflow import StructureClassifier, StructureRegressor

SMALL = {
    "spec": {"optimizer": {"inner": {"lr": 0.1}}, "evidence": {"samples": 4}, "compute": {"compile": False}},
    "activations": ["tanh"],
    "widths": [4],
    "restarts": 1,
    "steps": 25,
    "samples": 16,
}


@pytest.mark.thorough
@parametrize_with_checks([StructureRegressor(**SMALL), StructureClassifier(**SMALL)])
def test_sklearn_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
