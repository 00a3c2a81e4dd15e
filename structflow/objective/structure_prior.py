"""log p(Γ) of discrete structures, by the structure distribution that the spec names."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..plugins import StructureOptions
from ..plugins.registry import registry
from ..spec.class_prior import ClassPrior
from ..spec.models import Spec
from ..spec.searched import searched_space
from ..spec.structures import EdgeChoice, Structure, StructureSpace
from .guarded_distribution import GuardedDistribution


def log_priors(structures: Sequence[Structure], space: StructureSpace, spec: Spec) -> list[float]:
    """log p of every structure among those that the spec's regime may choose: log Σ ∏_e p(Γ_e) ∏_v 1 / |shapes of v|.

    The sum runs over all combinations of choices that are equal to the structure (`StructureSpace.canonical_form`);
    edges and shapes are independent. p(Γ_e) is what the structure distribution says of the vertex Γ_e with the
    concentrations that its prior starts with, over all functions of the edge, divided by its sum over what is open; the
    shapes of a node that chooses its own are equally probable. Everything that weighs structures by their prior takes
    it from here.
    """
    options = spec.prior.structure
    family = GuardedDistribution(registry().get("structure_distributions", options.type))
    searched = searched_space(space, spec.regime)
    weights = {edge.key: log_weights(edge, family, options) for edge in searched.edges if edge.space != "all"}
    prior = ClassPrior(searched, weights)
    return [prior.log_probability(structure) for structure in structures]


def log_weights(edge: EdgeChoice, family: GuardedDistribution, options: StructureOptions) -> list[float]:
    """Of every open function of an edge the log probability that it is chosen, for `any` the log odds that it is."""
    assert edge.space != "all"
    whole = edge.whole
    row = torch.tensor(family.prior_log_concentration(edge.space, options, len(whole)), dtype=torch.float64)
    single = torch.eye(len(whole), dtype=torch.bool)[[whole.index(name) for name in edge.names]]
    found = family.vertex_log_prob(edge.space, row, single)
    if edge.space == "any":
        found = found - family.vertex_log_prob(edge.space, row, torch.zeros_like(row, dtype=torch.bool))
    return [float(value) for value in found]
