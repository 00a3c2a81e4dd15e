"""One structure of a ranking: what was found of it, its predictions, and its network as a torch module."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ..runner.context import RunContext
from ..store.records import Metrics, Robustness, StructureJson
from .models import PrunedNetwork, RankingEntry
from .module import StructureModule, module_of
from .prediction import Prediction, Predictor, predictor_of


@dataclass(frozen=True)
class RankedStructure:
    """A structure by itself. `entry` is its entry in the ranking, `predictor` predicts with it alone."""

    entry: RankingEntry | PrunedNetwork
    predictor: Predictor = field(repr=False)

    @property
    def structure(self) -> StructureJson:
        """Functions chosen on every edge and shapes chosen for nodes: {"x->h": ["dense:tanh"], "h": [20]}."""
        return self.entry.structure

    @property
    def score(self) -> float:
        """What the ranking goes by, in the target's original units: the score of the spec's criterion."""
        return self.entry.score

    @property
    def log_evidence(self) -> float:
        """log p(y | X), estimated, in the target's original units; NaN where the weights are a point."""
        return number(self.entry.log_evidence)

    @property
    def log_evidence_se(self) -> float:
        """Standard error of `log_evidence`."""
        return number(self.entry.log_evidence_se)

    @property
    def probability(self) -> float:
        """Posterior probability among the structures of the ranking; NaN for a pruned network, which isn't in it."""
        return self.entry.probability if isinstance(self.entry, RankingEntry) else math.nan

    @property
    def converged(self) -> bool | None:
        """Whether more steps would hardly raise the objective; None where that isn't known.

        `entry.still_gaining` says what as many steps again would gain, in nats, `entry.converged_unknown` why it isn't
        known.
        """
        return self.entry.converged

    @property
    def metrics(self) -> dict[str, Metrics]:
        """Metrics on the rows of `train` and of `test`."""
        return self.entry.metrics

    @property
    def robustness(self) -> Robustness:
        """Metrics under noise by rows, by what it is on (`inputs`, `weights`) and by its standard deviation as text.

        Nothing but empty mappings where the spec has no `robustness`.
        """
        return self.entry.robustness

    def predict(self, inputs: object, samples: int = 256) -> Prediction:
        """Predict y for inputs (rows, *input_shape) in original units, averaged over the weights of this structure."""
        return self.predictor.predict(inputs, samples)

    def module(self, dtype: torch.dtype | None = None) -> StructureModule:
        """The network with its posterior mean weights as a plain `torch.nn.Module`, on the CPU.

        Its numbers are of `dtype`, by default torch's default. It doesn't need the run any more.
        """
        return module_of(self.predictor, dtype or torch.get_default_dtype())


def ranked_structure(context: RunContext, entry: RankingEntry | PrunedNetwork) -> RankedStructure:
    """The structure of an entry in the run's ranking."""
    return RankedStructure(entry, predictor_of(context, [entry], [1.0]))


def number(value: float | None) -> float:
    """A number of a summary, where NaN is null."""
    return math.nan if value is None else float(value)
