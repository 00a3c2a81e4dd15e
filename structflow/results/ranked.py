"""One structure of a ranking: what was found of it, its predictions, and its network as a torch module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..runner.context import RunContext
from .module import StructureModule, module_of
from .prediction import Prediction, Predictor, mixture_of


@dataclass(frozen=True)
class RankedStructure:
    """A structure by itself. `entry` is its entry in the ranking, `predictor` predicts with it alone."""

    entry: Mapping[str, Any]
    predictor: Predictor = field(repr=False)

    @property
    def structure(self) -> dict[str, Any]:
        """Functions chosen on every edge and shapes chosen for nodes: {"x->h": ["dense:tanh"], "h": [20]}."""
        structure: dict[str, Any] = self.entry["structure"]
        return structure

    @property
    def score(self) -> float:
        """What the ranking goes by, in the target's original units: the score of the spec's criterion."""
        return float(self.entry["score"])

    @property
    def log_evidence(self) -> float:
        """log p(y | X), estimated, in the target's original units; NaN where the weights are a point."""
        return number(self.entry["log_evidence"])

    @property
    def log_evidence_se(self) -> float:
        """Standard error of `log_evidence`."""
        return number(self.entry["log_evidence_se"])

    @property
    def probability(self) -> float:
        """Posterior probability among the structures of the ranking; NaN for a pruned network, which isn't in it."""
        return number(self.entry.get("probability"))

    @property
    def converged(self) -> bool | None:
        """Whether more steps would hardly raise the objective; None where that isn't known.

        `entry["still_gaining"]` says what as many steps again would gain, in nats, `entry["converged_unknown"]` why it
        isn't known.
        """
        converged: bool | None = self.entry.get("converged")  # runs of earlier versions have none
        return converged

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics on the rows of `train` and of `test`."""
        metrics: dict[str, dict[str, float]] = self.entry["metrics"]
        return metrics

    @property
    def robustness(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Metrics under noise by rows, by what it is on (`inputs`, `weights`) and by its standard deviation as text.

        Nothing but empty mappings where the spec has no `robustness`.
        """
        robustness: dict[str, dict[str, dict[str, dict[str, float]]]] = self.entry["robustness"]
        return robustness

    def predict(self, inputs: Any, samples: int = 256) -> Prediction:
        """Predict y for inputs (rows, *input_shape) in original units, averaged over the weights of this structure."""
        return self.predictor.predict(inputs, samples)

    def module(self, dtype: torch.dtype | None = None) -> StructureModule:
        """The network with its posterior mean weights as a plain `torch.nn.Module`, on the CPU.

        Its numbers are of `dtype`, by default torch's default. It doesn't need the run any more.
        """
        return module_of(self.predictor, dtype or torch.get_default_dtype())


def ranked_structure(context: RunContext, entry: Mapping[str, Any]) -> RankedStructure:
    """The structure of an entry in the run's ranking."""
    return RankedStructure(entry, mixture_of(context, [{**entry, "probability": 1.0}]))


def number(value: float | None) -> float:
    """A number of a summary, where NaN is null."""
    return math.nan if value is None else float(value)
