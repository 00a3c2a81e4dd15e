"""q(w) of a population, by the weight posterior that the spec names: a product of factors, q(w) = ∏_f q_f(w_f).

A factor is one vector of weights for each of its slots: that of one weight group, or of all groups of a member where
the family is `joint`. It is *sampled* (its weights are drawn, one set a sample) or *integrated* (its mean and its
covariance go through the network instead, because the expectation is known).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import CallError
from ..model.layout import WeightGroup
from ..model.network import Weights
from ..model.population import Population
from .guarded_weights import GuardedPosterior
from .noise import NoiseField
from .parameters import Named, Parameter, Parameters, Role

GroupValues = Sequence[Tensor]
"""For every group a number for each of its weights, laid end to end: (C, size), or what broadcasts against it."""


@dataclass(frozen=True)
class Factor:
    """The weights of `groups` end to end, `size` of them, for each slot; `slots` (C,) are the members of the slots.

    `number` is its place among the factors; `label` is behind the names of its parameters where those are stored.
    """

    number: int
    label: str
    groups: tuple[int, ...]
    size: int
    slots: np.ndarray

    @property
    def name(self) -> str:
        """What its noise, and a matrix of all its weights, are called."""
        return f"weights{self.label}"


@dataclass(frozen=True)
class Draw:
    """Weights for the network, as `Network.forward` takes them: sampled, or the means of integrated ones.

    Of integrated groups there are `variances` where the weights are independent, else `columns` of a square root of the
    covariance in place of samples. Of a sampled factor there are its `vectors` (C, S, size) and their `noise`.
    """

    weights: list[Weights]
    variances: list[Weights | None]
    columns: list[Weights | None]
    vectors: list[Tensor | None]
    noise: list[Tensor | None]


class WeightsPosterior:
    """The factors of a population. `integrated` says for every weight group whether it is integrated."""

    def __init__(self, population: Population, family: GuardedPosterior, integrated: Sequence[bool]):
        self.population = population
        self.family = family
        self.groups = population.layout.groups
        self.integrated = tuple(integrated)
        self.factors = factors_of(population, family.plugin.joint)
        one = torch.ones((1, 1), dtype=torch.float64)
        self.names = tuple(family.start(one, one[0])) if self.factors else ()

    @property
    def described(self) -> tuple[dict[str, Parameter], ...]:
        """What each parameter of each factor is."""
        joint = self.family.plugin.joint
        return tuple(
            {
                name: Parameter(f"{name}{factor.label}", Role.WEIGHTS, None if joint else factor.groups[0])
                for name in self.names
            }
            for factor in self.factors
        )

    def is_integrated(self, factor: Factor) -> bool:
        """Whether a factor isn't sampled; its groups are integrated all or none."""
        return self.integrated[factor.groups[0]]

    def own(self, parameters: Parameters, factor: Factor) -> Named:
        """The parameters of a factor by the names of the family, (C, …) each."""
        return parameters.theta.weights[factor.number]

    def changed(self, parameters: Parameters, change: Callable[[Factor, Named], Named]) -> Parameters:
        """The parameters with those of every factor changed."""
        weights = tuple(change(factor, self.own(parameters, factor)) for factor in self.factors)
        return parameters._replace(theta=parameters.theta._replace(weights=weights))

    def start(self, means: GroupValues) -> tuple[Named, ...]:
        """Starting parameters of each factor around the starting means, (C, size) a group."""
        started = []
        for factor in self.factors:
            fan_in = torch.cat([fan_in_of(self.groups[number]) for number in factor.groups])
            mean = torch.cat([means[number] for number in factor.groups], dim=1)
            started.append(self.family.start(mean, fan_in.to(mean)))
        return tuple(started)

    def noise_fields(self) -> list[NoiseField]:
        """One row a slot for each sampled factor that takes noise."""
        fields = [
            NoiseField(factor.name, factor.slots, (self.family.noise(factor.size),))
            for factor in self.factors
            if not self.is_integrated(factor)
        ]
        return [field for field in fields if field.shape[0]]

    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> Draw:
        """Weights from noise (C, S, k) a factor."""
        count = len(self.groups)
        draw = Draw([{}] * count, [None] * count, [None] * count, [], [])
        for factor in self.factors:
            own = self.own(parameters, factor)
            if not self.is_integrated(factor):
                given = noise.get(factor.name, own["mean"].new_zeros((len(factor.slots), 1, 0)))
                drawn = self.family.draw(own, given)
                self._split(draw.weights, factor, drawn)
                draw.vectors.append(drawn)
                draw.noise.append(given)
                continue
            self._split(draw.weights, factor, own["mean"].unsqueeze(1))
            if self.family.plugin.independent:
                self._split(draw.variances, factor, self.family.variance(own).unsqueeze(1))
            else:
                self._split(draw.columns, factor, self.family.columns(own).mT)
            draw.vectors.append(None)
            draw.noise.append(None)
        return draw

    def _split(self, into: list[Weights] | list[Weights | None], factor: Factor, vectors: Tensor) -> None:
        """(C, S, size) → for every group of a factor (C, S, *shape)."""
        sizes = [self.groups[number].size for number in factor.groups]
        for number, part in zip(factor.groups, vectors.split(sizes, dim=-1), strict=True):
            into[number] = self.groups[number].split(part)

    def of_factor(self, values: GroupValues, factor: Factor) -> Tensor:
        """For every group (C, size), or what broadcasts against it → (C, size) of a factor, or what broadcasts."""
        if len(factor.groups) == 1:
            return values[factor.groups[0]]
        slots = len(factor.slots)
        return torch.cat([values[number].expand(slots, self.groups[number].size) for number in factor.groups], dim=1)

    def of_groups(self, values: Sequence[Tensor]) -> list[Tensor]:
        """For every factor (C, …, size) → for every group (C, …, size)."""
        found: dict[int, Tensor] = {}
        for factor, value in zip(self.factors, values, strict=True):
            sizes = [self.groups[number].size for number in factor.groups]
            found.update(zip(factor.groups, value.split(sizes, dim=-1), strict=True))
        return [found[number] for number in range(len(self.groups))]

    def moments(self, parameters: Parameters) -> tuple[GroupValues, GroupValues]:
        """Means and variances of every weight, (C, size) a group."""
        own = [self.own(parameters, factor) for factor in self.factors]
        return self.of_groups([each["mean"] for each in own]), self.of_groups(list(map(self.family.variance, own)))

    def masked(self, parameters: Parameters, kept: GroupValues) -> Parameters:
        """The parameters with weights removed where `kept` is 0."""
        return self.changed(parameters, lambda factor, own: self.family.mask(own, self.of_factor(kept, factor)))

    def entropy_of_removed(self, own: Named) -> Tensor:
        """−E log q of one removed weight of a factor, (C, 1)."""
        alone = self.family.mask(own, torch.zeros_like(own["mean"]))
        return self.family.entropy(alone).unsqueeze(1) / own["mean"].shape[1]

    def log_prob_of_removed(self, own: Named, vectors: Tensor, kept: Tensor) -> Tensor:
        """log q of the weights (C, S, size) of a factor that were removed, where `kept` (C, size) is 0, (C, S).

        It is that of a vector of which all were removed, at 0 where they weren't, less what those have there.
        """
        alone = self.family.mask(own, torch.zeros_like(own["mean"]))
        whole = self.family.log_prob(alone, vectors * (1 - kept).unsqueeze(1))
        at_zero = self.family.log_prob(alone, torch.zeros_like(vectors[:, :1])) / vectors.shape[2]
        return whole - kept.sum(1, keepdim=True) * at_zero

    def moved(self, parameters: Parameters, by: GroupValues) -> Parameters:
        """The parameters of the distribution of w + `by`."""
        return self.changed(parameters, lambda factor, own: {**own, "mean": own["mean"] + self.of_factor(by, factor)})


def factors_of(population: Population, joint: bool) -> tuple[Factor, ...]:
    """One factor for every weight group, or one for all; raises `CallError` where members differ in the latter."""
    groups = population.layout.groups
    if not joint:
        return tuple(
            Factor(number, f"/{group.name}", (number,), group.size, index.slots)
            for number, (group, index) in enumerate(zip(groups, population.groups, strict=True))
        )
    if not all(index.everyone for index in population.groups):
        raise CallError(
            "a joint posterior was asked for members that use different functions; train each structure in a "
            "batch of its own, without spare slots"
        )
    size = sum(group.size for group in groups)
    return (Factor(0, "", tuple(range(len(groups))), size, population.groups[0].slots),) if groups else ()


def fan_in_of(group: WeightGroup) -> Tensor:
    """For each weight of a group how many of its fellows add up to one number of the output, (size,)."""
    parts = []
    for shape in group.shapes.values():
        size = int(np.prod(shape))
        parts.append(torch.full((size,), max(1, size // shape[-1]) if len(shape) > 1 else 1, dtype=torch.float64))
    return torch.cat(parts)


def minus_log_density(mean: Tensor, variance: Tensor) -> Tensor:
    """−Σ ln ρ = Σ μ² / (2α) over the weights (C, size) of a group, (C,), with ρ = q(w = 0) / q(w = μ)."""
    return 0.5 * (mean.square() / variance).sum(1)
