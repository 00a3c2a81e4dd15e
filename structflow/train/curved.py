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
from .step import is_of


@dataclass(frozen=True)
class Curved:
    """The members of a stage linearised at a θ, in float64."""

    stage: OpenStage
    evidence: LaplaceEvidence

    @classmethod
    def at(cls, stage: OpenStage, flat: Tensor) -> Curved:
        """At the θ of the vector (P,), on the rows in memory that L is of."""
        data, bound = stage.inputs.data, stage.objectives.bound
        none = np.zeros((bound.population.size, 2), dtype=np.int64)  # nothing is drawn
        with torch.no_grad():
            parameters = stage.parameters(flat)
        vectors = PopulationWeights(bound, parameters, none, data.x.double(), data.y.double(), data.row_weight)
        weights = None if data.inner_weights is None else data.inner_weights.double()
        return cls(stage, LaplaceEvidence(Linearised.of(vectors, weights)))

    def gradient(self, flat: Tensor) -> Tensor:
        """∂/∂h of the sum of all members' evidence and log p(h), at the h of the vector: (P,), 0 along θ."""
        layout, names = self.stage.layout, self.stage.objectives.names_of_h
        with torch.no_grad():
            parameters = self.stage.parameters(flat)
        found = self.evidence.gradient(parameters, [name for name in parameters if is_of(name, names)])
        whole = {name: found.get(name, torch.zeros_like(value)) for name, value in parameters.items()}
        return layout.pack(whole).to(flat)
