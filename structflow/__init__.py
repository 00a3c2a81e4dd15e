"""structflow: Bayesian choice of the structure of a neural network, from one spec file."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads of one operation wait asleep instead of spinning: many times faster on a busy machine, as fast on an idle one.
# It has to be said before torch is loaded, which structflow does only when it is first used.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from .estimator import StructureClassifier, StructureRegressor, StructureSelector
    from .results.run import Run, resume, run

__all__ = ["Run", "StructureClassifier", "StructureRegressor", "StructureSelector", "__version__", "resume", "run"]

PLACES = {
    "Run": "results.run",
    "resume": "results.run",
    "run": "results.run",
    "StructureClassifier": "estimator",
    "StructureRegressor": "estimator",
    "StructureSelector": "estimator",
}
"""Modules of what is loaded when it is first used: importing structflow alone doesn't import torch."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in PLACES:
        return getattr(import_module(f".{PLACES[name]}", __name__), name)
    raise AttributeError(f"module 'structflow' has no attribute {name!r}")
