"""The weights of a population's members as vectors; see `plugins.WeightVectors`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..distributions.normal import HALF_LOG_TWO_PI, cholesky_factor
from ..errors import CallError
from ..model.group_index import GroupIndex, to_members, to_slots
from ..model.layout import WeightGroup
from ..model.network import Weights
from ..model.start import started
from ..objective.bound import Bound
from ..objective.kept_weights import KeptWeights
from ..objective.noise import NoiseField, NoiseLayout, noise_source
from ..objective.weights_posterior import FullPosterior, GroupValues, PointPosterior, split_weights


@dataclass(frozen=True)
class PopulationWeights:
    """Weights of the discrete members of a bound's population, at these parameters, rows and Philox keys (M, 2).

    Where the rows are a sample of the training rows, each counts `row_weight` times in the likelihood.
    """

    bound: Bound
    parameters: dict[str, Tensor]
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
        population = self.bound.population
        ranges = np.cumsum([0, *(group.size for group in population.layout.groups)])
        total = int(ranges[-1])
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
        filled = [np.concatenate([row, np.full(longest - len(row), total)]) for row in rows]
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
    def factor(self) -> Tensor | None:
        """L of a full covariance L Lᵀ, (M, n, n)."""
        if not isinstance(self.bound.weights, FullPosterior):
            return None
        factor = cholesky_factor(self.parameters["cholesky"])
        return factor if self.total else torch.ones((len(factor), 1, 1)).to(factor)

    @property
    def covariance(self) -> Tensor | None:
        """Σ = L Lᵀ."""
        return None if self.factor is None else self.factor @ self.factor.mT

    @cached_property
    def log_precision(self) -> Tensor:
        """log A."""
        indices = self.bound.population.indices.to(self.x.device)
        values = self.bound.prior.log_precision(self.parameters, self.x, indices.groups)
        whole = [
            {name: values[number][name].expand(len(index.slots), *shape) for name, shape in group.shapes.items()}
            for number, (group, index) in enumerate(self._groups())
        ]
        return self._vectors(whole)

    def outputs(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """f(x; w) at the training rows."""
        return self._outputs(weights, self._rows(self.x, rows), self.bound.own_rows)

    def outputs_at(self, weights: Tensor, x: Tensor) -> Tensor:
        """f(x; w) for weights (M, S, n) at any rows x (rows, *input_shape): (M, S, rows, *out_shape)."""
        return self._outputs(weights, x, own_rows=False)

    def _rows(self, values: Tensor, rows: Tensor | None) -> Tensor:
        """Some of the training rows of x or y, or all."""
        return values if rows is None else values.index_select(1 if self.bound.own_rows else 0, rows)

    def _outputs(self, weights: Tensor, x: Tensor, own_rows: bool) -> Tensor:
        """f(x; w), also where members have rows of their own."""
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
        own = self.bound.likelihood_parameters(self.parameters)
        log_prob = vmap(vmap(self.bound.likelihood.log_prob, (None, None, 0)), (0, None, 0))
        found: Tensor = log_prob(own, y, outputs)
        return found

    def log_likelihood(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """Σ_i log p(y_i | x_i, w)."""
        return self.row_log_likelihood(self.outputs(weights, rows), rows).sum(-1)

    def log_prior(self, weights: Tensor) -> Tensor:
        """Σ [−½ A w² + ½ log A − ½ log 2π] over the weights of a member."""
        log_precision = self.log_precision.unsqueeze(1)
        terms = -0.5 * log_precision.exp() * weights.square() + 0.5 * log_precision - HALF_LOG_TWO_PI
        return torch.where(self.used.unsqueeze(1), terms, 0.0).sum(-1)

    def draws(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """w = μ + √α ε, or μ + L ε."""
        noise = self.normals(samples, phase, first)
        if self.factor is not None:
            return self.mean.unsqueeze(1) + noise @ self.factor.mT
        return self.mean.unsqueeze(1) + self.variance.sqrt().unsqueeze(1) * noise

    def log_posterior(self, weights: Tensor) -> Tensor:
        """log N(w; μ, Σ) over the weights of a member."""
        if isinstance(self.bound.weights, PointPosterior):
            raise CallError("the posterior is a point, which has no density; use posterior.weights.type: normal")
        away = (weights - self.mean.unsqueeze(1)).where(self.used.unsqueeze(1), 0.0)
        if self.factor is not None:
            solved = torch.linalg.solve_triangular(self.factor, away.mT, upper=False)
            size = self.used.sum(1, keepdim=True).to(away) * HALF_LOG_TWO_PI
            log_determinant = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
            density: Tensor = -0.5 * solved.square().sum(-2) - log_determinant - size
            return density
        variance = torch.where(self.used, self.variance, 1.0).unsqueeze(1)
        terms = -0.5 * away.square() / variance - 0.5 * variance.log() - HALF_LOG_TWO_PI
        return torch.where(self.used.unsqueeze(1), terms, 0.0).sum(-1)

    def normals(self, samples: int, phase: str, first: int = 0) -> Tensor:
        """ε, 0 in places that hold no weight."""
        layout = self._noise_layout("weights", self.places.shape[1])
        numbers = torch.arange(first, first + samples, device=self.x.device)
        source = noise_source(layout, self.keys, phase).to(self.x.device)
        flat = source.normals(numbers, 1, torch.float64, compiled=False)[:, 0]
        return layout.unpack(flat)["weights"] * self.used.unsqueeze(1)

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
                started(group, {name: noise[f"{group.name}/{name}"][:, sample] for name in group.shapes})
                for group, _ in self._groups()
            ]
            columns.append(self._vectors(means))
        return torch.stack(columns, dim=1)

    def _noise_layout(self, name: str, length: int) -> NoiseLayout:
        """So many numbers of one name for every member."""
        return NoiseLayout((NoiseField(name, np.arange(self.bound.population.size), (length,)),))

    def by_group(self, values: Tensor) -> list[Weights]:
        """Numbers of weights (M, n) → for every group (C, *shape), 0 in spare slots and for removed weights."""
        return [{name: value.squeeze(1) for name, value in group.items()} for group in self._split(values.unsqueeze(1))]

    def _groups(self) -> list[tuple[WeightGroup, GroupIndex]]:
        """The weight groups with their slots."""
        population = self.bound.population
        return list(zip(population.layout.groups, population.groups, strict=True))

    def _vectors(self, values: GroupValues) -> Tensor:
        """For every group tensors (C, *shape) → (M, n)."""
        indices = self.bound.population.indices.to(self.x.device)
        members = self.bound.population.size
        parts = [
            to_members(torch.cat([value[name].reshape(len(value[name]), -1) for name in group.shapes], 1), tensors)
            for (group, _), value, tensors in zip(self._groups(), values, indices.groups, strict=True)
        ]
        none = torch.zeros((members, 1), dtype=torch.float64, device=self.x.device)
        return torch.cat([*parts, none], dim=1).gather(1, self.places)

    def _split(self, weights: Tensor) -> list[Weights]:
        """(M, S, n) → for every group (C, S, *shape); zero in spare slots and for removed weights."""
        weights = weights.where(self.used.unsqueeze(1), 0.0)
        members, samples, _ = weights.shape
        index = self.places.unsqueeze(1).expand_as(weights)
        whole = weights.new_zeros((members, samples, self.total + 1)).scatter(2, index, weights)
        sizes = [group.size for group, _ in self._groups()]
        indices = self.bound.population.indices.to(weights.device)
        return [
            split_weights(to_slots(part, tensors), group)
            for part, (group, _), tensors in zip(
                whole[..., :-1].split(sizes, dim=-1), self._groups(), indices.groups, strict=True
            )
        ]
