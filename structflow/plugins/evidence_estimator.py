"""The contract of an estimator of log evidence."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """log evidence of every member and its Monte Carlo standard error, both (members,) in float64, in nats."""

    value: Tensor
    standard_error: Tensor


class EvidenceEstimator(Plugin):
    """Estimates log p(y | X, h) of trained members; the spec names it in `evidence.estimators`."""

    @staticmethod
    @abstractmethod
    def estimate(trained: Any, samples: int) -> Estimate:
        """Estimate for a `structflow.evidence.TrainedPopulation`, in the units the model was trained in."""
