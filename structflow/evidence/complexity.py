"""Complexities of trained members: how much the data changed what was believed before."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.group_index import to_members
from ..objective.kept_weights import KeptWeights
from ..objective.structure import StructureSamples
from ..objective.weights_posterior import FullPosterior, GroupValues, PointPosterior, minus_log_density
from .trained import TrainedPopulation

LEAST_SAMPLES = 256
"""Samples of q(Γ) that log s is fitted on, and that the divergence is estimated from, at least."""


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
    kept = masks_of(trained, means)
    second_moments = [
        {name: (mean[name].square() + variance[name]) * left[name] for name in mean}
        for mean, variance, left in zip(means, variances, kept, strict=True)
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
    sizes = of_groups(kept)
    grouping = bound.prior.grouping
    if grouping == "shared":
        count, total = add_up(sizes), add_up(of_groups(second_moments))
        fitted = torch.where(count > 0, count * (total / count.clamp(min=1)).log(), torch.zeros_like(count))
    elif grouping == "per_function":
        fitted = add_up(
            [
                torch.where(size > 0, size * (total / size.clamp(min=1)).log(), torch.zeros_like(size))
                for size, total in zip(sizes, of_groups(second_moments), strict=True)
            ]
        )
    else:
        filled = [
            {name: value + 1 - left[name] for name, value in group.items()}
            for group, left in zip(second_moments, kept, strict=True)
        ]
        fitted = add_up(of_groups([{name: value.log() for name, value in group.items()} for group in filled]))
    return 0.5 * (fitted - log_determinant)


def masks_of(trained: TrainedPopulation, like: GroupValues) -> list[dict[str, Tensor]]:
    """1 for every weight that is kept, 0 for removed ones, whose q has mean 0 and variance 1: (C, *shape) a group."""
    kept = KeptWeights.of(trained.parameters, trained.bound.weights)
    if kept is not None:
        return [dict(values) for values in kept.values]
    return [{name: torch.ones_like(value) for name, value in values.items()} for values in like]


def structural_divergence(trained: TrainedPopulation, samples: int) -> Tensor:
    """The structure's part of C_param, (M,): min over a learned log s of KL(q(Γ) ‖ p(Γ | s)), else that KL.

    log s is fitted on samples of q(Γ), on which the KL is convex in it; the KL is then estimated on fresh ones, because
    a fit is too good on its own samples. NaN for a member that diverged, which must not reach the others: one optimiser
    minimises for all.
    """
    structure = trained.bound.structure
    edges = structure.edges()
    if not edges:
        return torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    samples = max(samples, LEAST_SAMPLES)
    drawn = trained.structure_samples(samples, "complexity")
    temperature = torch.tensor(trained.c_temp, dtype=torch.float64, device=trained.x.device).expand(1, 1)
    start = {
        edge.key: structure.prior_log_concentration(trained.parameters, edge, drawn.coordinates[edge.key])
        for edge in edges
    }
    usable = drawn.log_posterior.isfinite().all(1, keepdim=True)
    for value in start.values():
        usable = usable & value.isfinite().all(-1)
    log_s = {key: torch.where(usable.unsqueeze(-1), value, 0.0).requires_grad_() for key, value in start.items()}

    def divergence(drawn: StructureSamples) -> Tensor:
        density = torch.zeros_like(drawn.log_posterior)
        for edge in edges:
            coordinates = torch.where(usable.unsqueeze(-1), drawn.coordinates[edge.key], 0.0)
            density = density + structure.family.log_prob(edge.space, log_s[edge.key], temperature, coordinates)
        return (torch.where(usable, drawn.log_posterior, 0.0) - density).mean(1)

    if structure.options.learned:
        optimiser = torch.optim.LBFGS(log_s.values(), max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            total = divergence(drawn).sum()
            total.backward()
            return total

        with torch.enable_grad():
            optimiser.step(closure)
    with torch.no_grad():
        found = divergence(trained.structure_samples(samples, "fresh complexity"))
    return torch.where(usable.squeeze(1), found, torch.nan)


def relative_density(trained: TrainedPopulation) -> Tensor:
    """−Σ ln ρ over the weights of each member, (M,), in nats; ρ = q(w = 0) / q(w = its mode) = exp(−μ² / (2α)).

    ρ is the relative density of a weight at the mode of its prior: near 1 the data say nothing against dropping it.
    """
    bound = trained.bound
    means, variances = bound.weights.moments(trained.parameters)
    total = torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    for mean, variance, tensors in zip(means, variances, bound.population.indices.groups, strict=True):
        total = total + to_members(minus_log_density(mean, variance), tuple(part.to(total.device) for part in tensors))
    return total


def informative_weights(trained: TrainedPopulation, threshold: float) -> Tensor:
    """How many weights of each member have KL(q(w_i) ‖ p(w_i | h)) > threshold, (M,): those that the data inform.

    ½ [A (α + μ²) − 1 − log A − log α] with the marginal variance α; every weight of a point counts, its KL is infinite.
    """
    bound = trained.bound
    indices = bound.population.indices.to(trained.x.device)
    means, variances = bound.weights.moments(trained.parameters)
    precisions = bound.prior.log_precision(trained.parameters, trained.x, indices.groups)
    total = torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    kept = masks_of(trained, means)
    for mean, variance, log_precision, tensors, left in zip(
        means, variances, precisions, indices.groups, kept, strict=True
    ):
        for name, value in mean.items():
            second_moment = variance[name] + value.square()
            kl = 0.5 * (log_precision[name].exp() * second_moment - 1 - log_precision[name] - variance[name].log())
            total = total + to_members(((kl > threshold) * left[name]).double().reshape(len(value), -1).sum(1), tensors)
    return total


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


def differential_entropy(trained: TrainedPopulation, samples: int) -> Tensor:
    """−E_q log q(Γ) of the relaxed structure, (M,), in nats: over γ on simplices and logit γ on cubes; 0 if discrete.

    The coordinates are those of the prior's family; in others it differs by a constant of the coordinates.
    """
    if not trained.bound.structure.edges():
        return torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    return -trained.structure_samples(samples, "entropy").log_posterior.mean(1)


def complexities(trained: TrainedPopulation, samples: int) -> dict[str, Tensor]:
    """The complexities of every member by name, (M,) each, in nats.

    `c_param` = min_h KL(q ‖ p(· | h)), weights and structure; `c_struct` the entropy of the rounded structure;
    `c_struct_differential` −E_q log q(Γ); `relative_density` −Σ ln ρ. NaN where a point posterior has none.
    """
    population = trained.bound.population
    spaces = {edge.key: edge.space for edge in population.layout.graph.edges}
    probabilities = trained.bound.structure.rounding_probabilities(trained.parameters)
    found = {
        "c_param": parametric_complexity(trained) + structural_divergence(trained, samples),
        "c_struct": rounded_entropy(probabilities, dict(spaces)).to(trained.x.device).expand(trained.size),
        "c_struct_differential": differential_entropy(trained, samples),
        "relative_density": relative_density(trained),
    }
    if isinstance(trained.bound.weights, PointPosterior):
        undefined = torch.full_like(found["c_param"], torch.nan)
        found.update(c_param=undefined, relative_density=undefined)
    return found
