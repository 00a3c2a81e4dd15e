"""The curvature at one θ of a stage: what steps of h up the evidence that it gives have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.laplace_evidence import LaplaceEvidence
from ..objective.linearised import Linearised
from ..objective.weight_vectors import PopulationWeights
from .open_stage import OpenStage


@dataclass(frozen=True)
class Curved:
    """The members of a stage linearised at a θ, in float64."""

    stage: OpenStage
    evidence: LaplaceEvidence

    @classmethod
    def at(cls, stage: OpenStage, flat: Tensor) -> Curved:
        """At the θ of the vector (P,), on the rows in memory that L is of."""
        data, bound = stage.inputs.setup.data, stage.objectives.bound
        none = np.zeros((bound.population.size, 2), dtype=np.int64)  # nothing is drawn
        with torch.no_grad():
            parameters = stage.parameters(flat)
        vectors = PopulationWeights(bound, parameters, none, data.x.double(), data.y.double(), data.row_weight)
        weights = data.weights.get("inner")
        return cls(stage, LaplaceEvidence(Linearised.of(vectors, None if weights is None else weights.double())))

    def gradient(self, flat: Tensor) -> Tensor:
        """∂/∂h of the sum of all members' evidence and log p(h), at the h of the vector: (P,), 0 along θ."""
        with torch.no_grad():
            parameters = self.stage.parameters(flat)
        found = self.evidence.gradient(parameters, self.stage.objectives.of_h)
        return self.stage.layout.pack(found).to(flat)
