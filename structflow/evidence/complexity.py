"""Complexities of trained members: how much the data changed what was believed before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions.normal import HALF_LOG_TWO_PI
from ..model.group_index import to_members
from ..objective.kept_weights import KeptWeights
from ..objective.noise import noise_source
from ..objective.structure import StructureSamples
from ..objective.weights_posterior import GroupValues, minus_log_density
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
        (mean.square() + variance) * left for mean, variance, left in zip(means, variances, kept, strict=True)
    ]

    def add_up(parts: Sequence[Tensor]) -> Tensor:
        total = torch.zeros(members, dtype=torch.float64, device=parts[0].device)
        for part, tensors in zip(parts, indices, strict=True):
            total = total + to_members(part, tensors)
        return total

    def fitted_at(count: Tensor, total: Tensor) -> Tensor:
        return torch.where(count > 0, count * (total / count.clamp(min=1)).log(), torch.zeros_like(count))

    sizes, totals = [left.sum(1) for left in kept], [value.sum(1) for value in second_moments]
    if bound.prior.options.grouping == "shared":
        fitted = fitted_at(add_up(sizes), add_up(totals))
    elif bound.prior.options.grouping == "per_function":
        fitted = add_up([fitted_at(size, total) for size, total in zip(sizes, totals, strict=True)])
    else:
        fitted = add_up([(value + 1 - left).log().sum(1) for value, left in zip(second_moments, kept, strict=True)])
    return 0.5 * fitted - half_log_determinant(trained)


def half_log_determinant(trained: TrainedPopulation) -> Tensor:
    """½ log|Σ| = H(q) − n (½ log 2π + ½) of a normal q, (M,)."""
    posterior, total = trained.bound.weights, torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    indices = trained.bound.population.indices.to(total.device).groups
    for factor in posterior.factors:
        entropy = posterior.family.entropy(posterior.own(trained.parameters, factor))
        total = total + to_members(entropy - factor.size * (HALF_LOG_TWO_PI + 0.5), indices[factor.groups[0]])
    return total


def masks_of(trained: TrainedPopulation, like: GroupValues) -> GroupValues:
    """1 for every weight that is kept, 0 for removed ones, whose q has mean 0 and variance 1: (C, size) a group."""
    kept = KeptWeights.of(trained.parameters, trained.bound.weights)
    return [torch.ones_like(value) for value in like] if kept is None else kept.values


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

    −½ log 2πe α − E log p(w_i | h) with the marginal variance α; every weight of a point counts, its KL is infinite.
    """
    bound = trained.bound
    indices = bound.population.indices.to(trained.x.device)
    means, variances = bound.weights.moments(trained.parameters)
    total = torch.zeros(trained.size, dtype=torch.float64, device=trained.x.device)
    kept = masks_of(trained, means)
    parts = zip(variances, expected_log_prior(trained), indices.groups, kept, strict=True)
    for variance, log_prior, tensors, left in parts:
        kl = -0.5 * variance.log() - HALF_LOG_TWO_PI - 0.5 - log_prior
        total = total + to_members(((kl > threshold) * left).double().sum(1), tensors)
    return total


def expected_log_prior(trained: TrainedPopulation) -> GroupValues:
    """E_q log p(w | h) of every weight, (C, size) a group: in closed form, or an average over draws."""
    bound = trained.bound
    groups = bound.population.indices.to(trained.x.device).groups
    precisions = bound.prior.log_precision(trained.parameters, trained.x, groups)
    if bound.divergence.in_closed_form:
        moments = bound.weights.moments(trained.parameters)
        return [bound.prior.family.expected_log_prob(*each) for each in zip(*moments, precisions, strict=True)]
    source = noise_source(bound.normals, trained.keys, "prior").to(trained.x.device)
    numbers = torch.arange(LEAST_SAMPLES, device=trained.x.device)
    normals = source.normals(numbers, 1, torch.float64, compiled=False)[:, 0]
    vectors = [
        each
        for each in bound.weights.draw(trained.parameters, bound.normals.unpack(normals)).vectors
        if each is not None
    ]
    drawn = bound.weights.of_groups(vectors)
    return [
        bound.prior.family.log_prob(values, precision.unsqueeze(1)).mean(1)
        for values, precision in zip(drawn, precisions, strict=True)
    ]


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
    `c_struct_differential` −E_q log q(Γ); `relative_density` −Σ ln ρ. NaN where they aren't defined: of a
    posterior or, for `c_param`, a prior that isn't normal.
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
    undefined, family = torch.full_like(found["c_param"], torch.nan), trained.bound.weights.family.plugin
    if not family.is_normal:
        found.update(relative_density=undefined)
    if not family.is_normal or not trained.bound.prior.family.plugin.is_normal:
        found.update(c_param=undefined)
    return found
