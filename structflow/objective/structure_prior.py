"""log p(Γ) of discrete structures, by the structure distribution that the spec names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..plugins.registry import registry
from ..spec.models import Spec
from ..spec.structures import Structure, StructureSpace
from .guarded_distribution import GuardedDistribution


def log_priors(structures: Sequence[Structure], space: StructureSpace, spec: Spec) -> list[float]:
    """log p(Γ) = Σ_e log p(Γ_e) − Σ_v log |shapes of v| of every structure: edges and shapes are independent.

    p(Γ_e) is what the structure distribution says of the vertex Γ_e with the concentrations that its prior starts
    with, over all functions of the edge; the shapes of a node that chooses its own are equally probable. Everything
    that weighs structures by their prior takes it from here.
    """
    options = spec.prior.structure
    family = GuardedDistribution(registry().get("structure_distributions", options.type))
    shapes = sum(math.log(len(choices)) for _, choices in space.shapes)
    total = torch.full((len(structures),), -shapes, dtype=torch.float64)
    chosen = [dict(structure.edges) for structure in structures]
    for edge in space.edges:
        if edge.space == "all" or not structures:
            continue
        row = family.prior_log_concentration(edge.space, options, len(edge.names))
        vertices = torch.tensor([[name in each[edge.key] for name in edge.names] for each in chosen])
        total = total + family.vertex_log_prob(edge.space, torch.tensor(row, dtype=torch.float64), vertices)
    return [float(value) for value in total]
