"""Estimators that follow scikit-learn's conventions."""

from .classifier import StructureClassifier
from .regressor import StructureRegressor
from .selector import StructureSelector

__all__ = ["StructureClassifier", "StructureRegressor", "StructureSelector"]
