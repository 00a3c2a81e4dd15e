"""The contract of a way to optimise the hyperparameters h (the outer level)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ..errors import Problem
from .plugin import Plugin


class Hypergradient(Plugin):
    """How h follows from the inner problem; the spec names it at `optimizer.outer`."""

    @staticmethod
    @abstractmethod
    def conflicts(spec: Any) -> list[Problem]:
        """Settings of the validated spec under which this method doesn't solve the problem that is asked."""
