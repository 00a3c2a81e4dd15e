"""Complexities of trained members: how much the data changed what was believed before."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.group_index import to_members
from ..objective.weights_posterior import FullPosterior
from .trained import TrainedPopulation


def parametric_complexity(trained: TrainedPopulation) -> Tensor:
    """C_param = min_h KL(q(w) ‖ p(w | h)) over the spec's grouping of precisions, (M,), in nats.

    For one precision over a group of n weights with a = mean(μ² + α): ½ (n ln a − ln |Σ|), which for a diagonal Σ is
    ½ Σ ln(a / α_i); for one precision a weight: ½ Σ ln(1 + μ_i² / α_i) and, of a full Σ, its diagonal in place of α
    with ln |Σ| for Σ ln α_i. Weights' part only, for an unscaled or non-centred zero-mean normal prior without
    hyperprior.
    """
    bound = trained.bound
    posterior, groups = bound.weights, bound.population.layout.groups
    indices = bound.population.indices.groups
    members = trained.size
    if not groups:
        return torch.zeros(members, dtype=torch.float64)
    means, variances = posterior.moments(trained.parameters)
    second_moments = [
        {name: mean[name].square() + variance[name] for name in mean}
        for mean, variance in zip(means, variances, strict=True)
    ]

    def add_up(parts: list[Tensor]) -> Tensor:
        total = torch.zeros(members, dtype=torch.float64, device=parts[0].device)
        for part, tensors in zip(parts, indices, strict=True):
            total = total + to_members(part, tensors)
        return total

    def of_groups(tensors: list[dict[str, Tensor]]) -> list[Tensor]:
        return [
            torch.stack([value.reshape(len(value), -1).sum(1) for value in group.values()]).sum(0) for group in tensors
        ]

    log_of = [{name: value.log() for name, value in group.items()} for group in map(dict, variances)]
    log_determinant = add_up(of_groups(log_of))
    if isinstance(posterior, FullPosterior):
        log_determinant = 2 * trained.parameters["cholesky"].diagonal(dim1=-2, dim2=-1).sum(-1)
    sizes = [torch.full_like(total, group.size) for total, group in zip(of_groups(second_moments), groups, strict=True)]
    grouping = bound.prior.grouping
    if grouping == "shared":
        count, total = add_up(sizes), add_up(of_groups(second_moments))
        fitted = torch.where(count > 0, count * (total / count.clamp(min=1)).log(), torch.zeros_like(count))
    elif grouping == "per_function":
        fitted = add_up(
            [size * (total / size).log() for size, total in zip(sizes, of_groups(second_moments), strict=True)]
        )
    else:
        fitted = add_up(of_groups([{name: value.log() for name, value in group.items()} for group in second_moments]))
    return 0.5 * (fitted - log_determinant)


def rounded_entropy(probabilities: dict[str, Tensor], spaces: dict[str, str]) -> Tensor:
    """Entropy of the rounded structure, (M,), in nats: categorical on edges of `one`, a coin a function for `any`."""
    total: Tensor | None = None
    for key, probability in probabilities.items():
        entropy = torch.special.entr(probability)
        if spaces[key] == "any":
            entropy = entropy + torch.special.entr(1 - probability)
        part = entropy.sum(-1)
        total = part if total is None else total + part
    return torch.zeros(1, dtype=torch.float64) if total is None else total
