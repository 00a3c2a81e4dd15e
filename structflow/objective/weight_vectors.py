"""The weights of a population's members as vectors; see `plugins.WeightVectors`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..distributions.normal import HALF_LOG_TWO_PI
from ..errors import CallError
from ..model.group_index import GroupIndex, GroupTensors, to_members, to_slots
from ..model.layout import WeightGroup
from ..model.network import Weights
from ..model.start import started
from .bound import Bound
from .kept_weights import KeptWeights
from .noise import NoiseField, NoiseLayout, noise_source
from .parameters import Parameters
from .weights_posterior import Factor, GroupValues

PRIOR_SAMPLES = 1024
"""Draws that E log p(w) is averaged over where it has no closed form."""


@dataclass(frozen=True)
class PopulationWeights:
    """Weights of the discrete members of a bound's population, at these parameters, rows and Philox keys (M, 2).

    Where the rows are a sample of the training rows, each counts `row_weight` times in the likelihood.
    """

    bound: Bound
    parameters: Parameters
    keys: np.ndarray
    x: Tensor
    y: Tensor
    row_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.bound.population.is_relaxed:
            raise CallError("relaxed members have no vector of weights; round them to structures first")

    @property
    def rows(self) -> int:
        """Number of training rows."""
        return self.x.shape[1 if self.bound.own_rows else 0]

    @cached_property
    def places(self) -> Tensor:
        """Where each number of a member's vector stands among the weights of all groups, (M, n); behind them if unused.

        The order is that of the groups, so that it depends on the member alone. Members without weights have one number
        that is unused, so that n ≥ 1.
        """
        return self._places([group.size for group, _ in self._groups()])

    def _places(self, sizes: Sequence[int]) -> Tensor:
        """The same where a group has another number of values, as of noise."""
        population = self.bound.population
        ranges = np.cumsum([0, *sizes])
        rows = [
            np.concatenate(
                [
                    np.arange(begin, end)
                    for begin, end, index in zip(ranges[:-1], ranges[1:], population.groups, strict=True)
                    if index.positions[member] < len(index.slots)
                ]
                or [np.zeros(0, dtype=np.int64)]
            )
            for member in range(population.size)
        ]
        longest = max(1, *(len(row) for row in rows))
        filled = [np.concatenate([row, np.full(longest - len(row), ranges[-1])]) for row in rows]
        return torch.from_numpy(np.stack(filled).astype(np.int64)).to(self.x.device)

    @property
    def total(self) -> int:
        """Weights of all groups together."""
        return sum(group.size for group in self.bound.population.layout.groups)

    @cached_property
    def used(self) -> Tensor:
        """Which places hold a weight that wasn't removed."""
        present = self.places < self.total
        kept = KeptWeights.of(self.parameters, self.bound.weights)
        return present if kept is None else present & (self._vectors(kept.values) > 0)

    @property
    def widest(self) -> int:
        """Numbers of the widest node."""
        return max(int(np.prod(shape)) for shape in self.bound.population.layout.node_shapes.values())

    @cached_property
    def mean(self) -> Tensor:
        """μ."""
        return self._vectors(self.bound.weights.moments(self.parameters)[0]).where(self.used, 0.0)

    @cached_property
    def variance(self) -> Tensor:
        """α."""
        return self._vectors(self.bound.weights.moments(self.parameters)[1]).where(self.used, 0.0)

    @cached_property
    def covariance(self) -> Tensor | None:
        """Σ, in blocks of the factors of q(w)."""
        weights = self.bound.weights
        if weights.family.plugin.independent or not weights.family.plugin.is_normal:
            return None
        whole = torch.zeros((len(self.places), self.total + 1, self.total + 1)).to(self.x)
        begin = 0
        for factor, tensors in self._factors():
            columns = weights.family.columns(weights.own(self.parameters, factor))
            part = slice(begin, begin := begin + factor.size)
            whole[:, part, part] = to_members(columns @ columns.mT, tensors)
        size = self.places.shape[1]
        rows = whole.gather(1, self.places.unsqueeze(2).expand(-1, -1, whole.shape[2]))
        return rows.gather(2, self.places.unsqueeze(1).expand(-1, size, -1))

    @cached_property
    def log_precision(self) -> Tensor:
        """log A."""
        indices = self.bound.population.indices.to(self.x.device)
        values = self.bound.prior.log_precision(self.parameters, self.x, indices.groups)
        whole = [
            value.expand(len(index.slots), group.size)
            for value, (group, index) in zip(values, self._groups(), strict=True)
        ]
        return self._vectors(whole)

    def outputs(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """f(x; w) at the training rows."""
        return self.outputs_of(weights, self._rows(self.x, rows), self.bound.own_rows)

    def outputs_at(self, weights: Tensor, x: Tensor) -> Tensor:
        """f(x; w) for weights (M, S, n) at any rows x (rows, *input_shape): (M, S, rows, *out_shape)."""
        return self.outputs_of(weights, x, own_rows=False)

    def rows_of_x(self, rows: Tensor) -> Tensor:
        """Inputs of some of the training rows."""
        return self._rows(self.x, rows)

    def rows_of_y(self, rows: Tensor) -> Tensor:
        """Targets of some of the training rows."""
        return self._rows(self.y, rows)

    def with_parameters(self, parameters: Parameters) -> PopulationWeights:
        """The same members with other parameters."""
        return replace(self, parameters=parameters)

    def _rows(self, values: Tensor, rows: Tensor | None) -> Tensor:
        """Some of the training rows of x or y, or all."""
        return values if rows is None else values.index_select(1 if self.bound.own_rows else 0, rows)

    def outputs_of(self, weights: Tensor, x: Tensor, own_rows: bool) -> Tensor:
        """f(x; w), also where members have rows of their own, (M, rows, *input_shape)."""
        population = self.bound.population
        split = self._split(weights)
        gamma = [None] * len(population.layout.graph.edges)
        edges = population.indices.to(x.device).edges
        mean = population.network.forward(split, [None] * len(split), gamma, x, edges, own_rows).mean
        return mean.expand(mean.shape[0], weights.shape[1], *mean.shape[2:])

    def row_log_likelihood(self, outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """log p(y_i | f_i) of the training rows, as often as each counts."""
        y = self._rows(self.y, rows)
        return self.row_weight * self.bound.log_likelihood_of_outputs(self.parameters, y, outputs)

    def row_log_likelihood_at(self, outputs: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | f_i) of any targets y (rows, …) for outputs (M, S, rows, *out_shape): (M, S, rows)."""
        own = self.parameters.theta.likelihood
        log_prob = vmap(vmap(self.bound.likelihood.log_prob, (None, None, 0)), (0, None, 0))
        found: Tensor = log_prob(own, y, outputs)
        return found

    def log_likelihood(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """Σ_i log p(y_i | x_i, w)."""
        return self.row_log_likelihood(self.outputs(weights, rows), rows).sum(-1)

    def log_prior(self, weights: Tensor) -> Tensor:
        """Σ log p(w_i | A_i) over the weights of a member."""
        terms = self.bound.prior.family.log_prob(weights, self.log_precision.unsqueeze(1))
        return torch.where(self.used.unsqueeze(1), terms, 0.0).sum(-1)

    def expected_log_prior(self, samples: int = PRIOR_SAMPLES) -> Tensor:
        """E_q log p(w_i | A_i) of every weight, (M, n): in closed form, or an average over draws."""
        prior = self.bound.prior.family
        if self.bound.divergence.in_closed_form:
            found = prior.expected_log_prob(self.mean, self.variance.where(self.used, 1.0), self.log_precision)
        else:
            found = prior.log_prob(self.draws(samples, "prior"), self.log_precision.unsqueeze(1)).mean(1)
        return found.where(self.used, 0.0)

    def entropy(self, kept: Tensor) -> Tensor:
        """−E log q of the weights where `kept` (M, n), whose q is the marginal of q(w), (M,)."""
        count = kept.sum(1).to(self.mean)
        if self.covariance is not None:
            both = kept.unsqueeze(-1) & kept.unsqueeze(-2)
            filled = self.covariance.where(both, 0.0) + torch.diag_embed((~kept).to(self.covariance))
            marginal: Tensor = 0.5 * torch.linalg.slogdet(filled).logabsdet + count * (HALF_LOG_TWO_PI + 0.5)
            return marginal
        weights, total = self.bound.weights, torch.zeros_like(count)
        groups = self.by_group(kept.to(self.mean))
        masked = weights.masked(self.parameters, groups)
        for factor, tensors in self._factors():
            own, left = weights.own(masked, factor), weights.of_factor(groups, factor)
            removed = ((1 - left) * weights.entropy_of_removed(own)).sum(1)
            total = total + to_members(weights.family.entropy(own) - removed, tensors)
        return total

    def draws(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """Draws of the factors of q(w), 0 where a weight was removed."""
        weights, population = self.bound.weights, self.bound.population
        held = self._held()
        counts = [weights.family.noise(factor.size) for factor in weights.factors]
        if weights.family.plugin.joint:
            places = torch.arange(max(1, sum(counts)), device=self.x.device).expand(population.size, -1)
        else:
            places = self._places(counts)
        noise = self._by_owner(self.noise(places.shape[1], samples, phase, first), places, counts)
        vectors = [
            to_members(weights.family.draw(weights.own(held, factor), part), tensors)
            for (factor, tensors), part in zip(self._factors(), noise, strict=True)
        ]
        none = torch.zeros((population.size, samples, 1)).to(self.x)
        drawn = torch.cat([*vectors, none], dim=2).gather(2, self.places.unsqueeze(1).expand(-1, samples, -1))
        return drawn.where(self.used.unsqueeze(1), 0.0)

    def log_posterior(self, weights: Tensor) -> Tensor:
        """log q(w) over the weights of a member."""
        posterior = self.bound.weights
        if not posterior.family.plugin.has_density:
            raise CallError("the posterior is a point, which has no density; use posterior.weights.type: diagonal")
        held, sizes = self._held(), [factor.size for factor in posterior.factors]
        vectors = self._by_owner(weights.where(self.used.unsqueeze(1), 0.0), self.places, sizes)
        groups = self.by_group(self.used.to(weights))
        total = torch.zeros(weights.shape[:2]).to(weights)
        for (factor, tensors), part in zip(self._factors(), vectors, strict=True):
            own, left = posterior.own(held, factor), posterior.of_factor(groups, factor)
            density = posterior.family.log_prob(own, part)
            if not bool((left == 1).all()):
                density = density - posterior.log_prob_of_removed(own, part, left)
            total = total + to_members(density, tensors)
        return total

    def _held(self) -> Parameters:
        """The parameters with weights removed."""
        kept = KeptWeights.of(self.parameters, self.bound.weights)
        return self.parameters if kept is None else kept.masked(self.parameters)

    def normals(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """ε, 0 in places that hold no weight."""
        return self.noise(self.places.shape[1], samples, phase, first) * self.used.unsqueeze(1)

    def noise(self, length: int, samples: int, phase: str, first: int) -> Tensor:
        """Standard normals (M, samples, length)."""
        layout = self._noise_layout("weights", length)
        numbers = torch.arange(first, first + samples, device=self.x.device)
        source = noise_source(layout, self.keys, phase).to(self.x.device)
        flat = source.normals(numbers, 1, torch.float64, compiled=False)[:, 0]
        return layout.unpack(flat)["weights"]

    def uniforms(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """One uniform a member and sample."""
        layout = self._noise_layout("uniform", 1)
        numbers = torch.arange(first, first + samples, device=self.x.device)
        source = noise_source(layout, self.keys, phase).to(self.x.device)
        flat = source.uniforms(numbers, 1, torch.float64, compiled=False)[:, 0]
        return layout.unpack(flat)["uniform"].squeeze(-1)

    def starts(self, samples: int, phase: str) -> Tensor:
        """Starting weights by each group's starter."""
        fields = [
            NoiseField(f"{group.name}/{name}", index.slots, shape)
            for group, index in self._groups()
            for name, shape in group.shapes.items()
        ]
        layout = NoiseLayout(tuple(fields))
        source = noise_source(layout, self.keys, phase).to(self.x.device)
        numbers = torch.arange(samples, device=self.x.device)
        noise = layout.unpack(source.normals(numbers, 1, torch.float64, compiled=False)[:, 0])
        columns = []
        if not fields:
            return torch.zeros((self.bound.population.size, samples, self.places.shape[1])).to(self.mean)
        for sample in range(samples):
            means = [
                group.join(started(group, {name: noise[f"{group.name}/{name}"][:, sample] for name in group.shapes}))
                for group, _ in self._groups()
            ]
            columns.append(self._vectors(means))
        return torch.stack(columns, dim=1)

    def _noise_layout(self, name: str, length: int) -> NoiseLayout:
        """So many numbers of one name for every member."""
        return NoiseLayout((NoiseField(name, np.arange(self.bound.population.size), (length,)),))

    def by_group(self, values: Tensor) -> list[Tensor]:
        """Numbers of weights (M, n) → for every group (C, size), 0 in spare slots and for removed weights."""
        sizes = [group.size for group, _ in self._groups()]
        values = values.where(self.used, 0.0).unsqueeze(1)
        return [part.squeeze(1) for part in self._by_owner(values, self.places, sizes, of_groups=True)]

    def _groups(self) -> list[tuple[WeightGroup, GroupIndex]]:
        """The weight groups with their slots."""
        population = self.bound.population
        return list(zip(population.layout.groups, population.groups, strict=True))

    def _factors(self) -> list[tuple[Factor, GroupTensors]]:
        """The factors of q(w) with the tensors of their slots."""
        groups = self.bound.population.indices.to(self.x.device).groups
        return [(factor, groups[factor.groups[0]]) for factor in self.bound.weights.factors]

    def _vectors(self, values: GroupValues) -> Tensor:
        """For every group (C, size) → (M, n)."""
        indices = self.bound.population.indices.to(self.x.device)
        parts = [to_members(value, tensors) for value, tensors in zip(values, indices.groups, strict=True)]
        none = torch.zeros((self.bound.population.size, 1), dtype=torch.float64, device=self.x.device)
        return torch.cat([*parts, none], dim=1).gather(1, self.places)

    def _by_owner(self, values: Tensor, places: Tensor, sizes: Sequence[int], of_groups: bool = False) -> list[Tensor]:
        """(M, S, n) → for every factor, or every group, of those sizes (C, S, size); 0 in spare slots."""
        members, samples, _ = values.shape
        index = places.unsqueeze(1).expand_as(values)
        whole = values.new_zeros((members, samples, sum(sizes) + 1)).scatter(2, index, values)
        groups = self.bound.population.indices.to(values.device).groups
        owners = groups if of_groups else [tensors for _, tensors in self._factors()]
        parts = whole[..., :-1].split([*sizes], dim=-1) if sizes else ()
        return [to_slots(part, tensors) for part, tensors in zip(parts, owners, strict=True)]

    def _split(self, weights: Tensor) -> list[Weights]:
        """(M, S, n) → for every group (C, S, *shape); zero in spare slots and for removed weights."""
        weights = weights.where(self.used.unsqueeze(1), 0.0)
        parts = self._by_owner(weights, self.places, [group.size for group, _ in self._groups()], of_groups=True)
        return [group.split(part) for (group, _), part in zip(self._groups(), parts, strict=True)]
