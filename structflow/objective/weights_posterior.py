"""q(w) of a population: normal with a diagonal covariance, or a full one over all weights of a member, or a point.

Parameters are a flat dictionary of tensors. A group is *sampled* (its weights are drawn, one set a sample) or
*integrated* (its mean and variances go through the network instead, because the expectation is known).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions.normal import (
    cholesky_factor,
    kl_cholesky,
    kl_diagonal,
    log_prob_diagonal,
    log_prob_of_noise,
    log_prob_prior,
    sample_cholesky,
    sample_diagonal,
)
from ..errors import CallError
from ..model.layout import WeightGroup
from ..model.network import Weights
from ..model.population import Population
from .noise import NoiseField

Parameters = dict[str, Tensor]
GroupValues = Sequence[Mapping[str, Tensor]]
"""For every group a tensor for each of its weights: (C, *shape), or what broadcasts against it."""

START_SD = 0.1
"""Standard deviation that q starts with, as a share of the scale of the starting means."""


@dataclass(frozen=True)
class Draw:
    """Weights for the network, as `Network.forward` takes them, and the standard normals (M, S, n) of a full draw."""

    weights: list[Weights]
    variances: list[Weights | None]
    noise: Tensor | None = None


class WeightsPosterior(ABC):
    """What the bound needs of q(w). `integrated` says for every group whether it is integrated."""

    def __init__(self, population: Population, integrated: Sequence[bool]):
        self.population = population
        self.groups = population.layout.groups
        self.integrated = tuple(integrated)

    @abstractmethod
    def start(self, means: GroupValues) -> Parameters:
        """Starting parameters around the starting means, (C, *shape) each."""

    @abstractmethod
    def noise_fields(self) -> list[NoiseField]:
        """The normals that a draw needs."""

    @abstractmethod
    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> Draw:
        """Weights from noise (C, S, *shape) a field."""

    @abstractmethod
    def kl(self, parameters: Parameters, log_precision: GroupValues) -> list[Tensor]:
        """KL(q ‖ p) in closed form, as parts that add up: for every group (C,), or one part (M,) for all."""

    @abstractmethod
    def log_ratio(self, parameters: Parameters, log_precision: GroupValues, draw: Draw) -> list[Tensor]:
        """log q(w) − log p(w) at the draw, parts as in `kl` with a sample axis (…, S); the KL where integrated."""

    @abstractmethod
    def moments(self, parameters: Parameters) -> tuple[GroupValues, GroupValues]:
        """Means and variances of every weight, (C, *shape)."""


class DiagonalPosterior(WeightsPosterior):
    """q(w) = N(μ, diag α), held as `mean/<group>/<weight>` and `log_sd/<group>/<weight>` = ½ log α, (C, *shape)."""

    def start(self, means: GroupValues) -> Parameters:
        """μ at the starting means; √α a tenth of 1/√fan_in."""
        parameters = {}
        for group, values in zip(self.groups, means, strict=True):
            for name, mean in values.items():
                fan_in = max(1, mean[0].numel() // mean.shape[-1]) if mean.ndim > 2 else 1
                parameters[f"mean/{group.name}/{name}"] = mean
                parameters[f"log_sd/{group.name}/{name}"] = torch.full_like(mean, START_SD * fan_in**-0.5).log()
        return parameters

    def noise_fields(self) -> list[NoiseField]:
        """One row a slot for all weights of a sampled group."""
        return [
            NoiseField(f"weights/{group.name}", index.slots, (group.size,))
            for group, index, integrated in zip(self.groups, self.population.groups, self.integrated, strict=True)
            if not integrated
        ]

    def _pair(self, parameters: Parameters, group: WeightGroup, name: str) -> tuple[Tensor, Tensor]:
        return parameters[f"mean/{group.name}/{name}"], parameters[f"log_sd/{group.name}/{name}"]

    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> Draw:
        """w = μ + √α ε where sampled, μ and α where integrated."""
        weights: list[Weights] = []
        variances: list[Weights | None] = []
        for group, integrated in zip(self.groups, self.integrated, strict=True):
            pairs = {name: self._pair(parameters, group, name) for name in group.shapes}
            if integrated:
                weights.append({name: mean.unsqueeze(1) for name, (mean, _) in pairs.items()})
                variances.append({name: (2 * log_sd).exp().unsqueeze(1) for name, (_, log_sd) in pairs.items()})
                continue
            rows = split_weights(noise[f"weights/{group.name}"], group)
            weights.append(
                {
                    name: sample_diagonal(mean.unsqueeze(1), log_sd.unsqueeze(1), rows[name])
                    for name, (mean, log_sd) in pairs.items()
                }
            )
            variances.append(None)
        return Draw(weights, variances)

    def kl(self, parameters: Parameters, log_precision: GroupValues) -> list[Tensor]:
        """½ Σ [A (α + μ²) − 1 − log A − log α] of every group."""
        return [
            torch.stack(
                [kl_diagonal(*self._pair(parameters, group, name), precisions[name]) for name in group.shapes]
            ).sum(0)
            for group, precisions in zip(self.groups, log_precision, strict=True)
        ]

    def log_ratio(self, parameters: Parameters, log_precision: GroupValues, draw: Draw) -> list[Tensor]:
        """Sampled groups at their weights, integrated ones by their KL."""
        closed = self.kl(parameters, log_precision)
        parts = []
        for index, group in enumerate(self.groups):
            if self.integrated[index]:
                parts.append(closed[index].unsqueeze(1))
                continue
            terms = []
            for name in group.shapes:
                mean, log_sd = (value.unsqueeze(1) for value in self._pair(parameters, group, name))
                weight, precision = draw.weights[index][name], log_precision[index][name].unsqueeze(1)
                terms.append(
                    log_prob_diagonal(weight, mean, log_sd, keep=2) - log_prob_prior(weight, precision, keep=2)
                )
            parts.append(torch.stack(terms).sum(0))
        return parts

    def moments(self, parameters: Parameters) -> tuple[GroupValues, GroupValues]:
        """μ and α."""
        means, variances = [], []
        for group in self.groups:
            pairs = {name: self._pair(parameters, group, name) for name in group.shapes}
            means.append({name: mean for name, (mean, _) in pairs.items()})
            variances.append({name: (2 * log_sd).exp() for name, (_, log_sd) in pairs.items()})
        return means, variances


class PointPosterior(DiagonalPosterior):
    """All of q(w) at one point, held as `mean/<group>/<weight>` (C, *shape).

    In place of the KL, which is infinite, stands −log p(w | h): the bound is then log p(y, w | h) at the point.
    """

    def start(self, means: GroupValues) -> Parameters:
        """The starting means."""
        return {
            f"mean/{group.name}/{name}": mean
            for group, values in zip(self.groups, means, strict=True)
            for name, mean in values.items()
        }

    def noise_fields(self) -> list[NoiseField]:
        """Nothing is random."""
        return []

    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> Draw:
        """The point."""
        weights: list[Weights] = [
            {name: parameters[f"mean/{group.name}/{name}"].unsqueeze(1) for name in group.shapes}
            for group in self.groups
        ]
        return Draw(weights, [None] * len(weights))

    def kl(self, parameters: Parameters, log_precision: GroupValues) -> list[Tensor]:
        """−log p(w | h) = ½ Σ [A w² − log A + log 2π] of every group."""
        return [
            -torch.stack(
                [
                    log_prob_prior(parameters[f"mean/{group.name}/{name}"], precisions[name], keep=1)
                    for name in group.shapes
                ]
            ).sum(0)
            for group, precisions in zip(self.groups, log_precision, strict=True)
        ]

    def log_ratio(self, parameters: Parameters, log_precision: GroupValues, draw: Draw) -> list[Tensor]:
        """The same for the one sample."""
        return [part.unsqueeze(1) for part in self.kl(parameters, log_precision)]

    def moments(self, parameters: Parameters) -> tuple[GroupValues, GroupValues]:
        """The point, and variances of 0."""
        means = [{name: parameters[f"mean/{group.name}/{name}"] for name in group.shapes} for group in self.groups]
        return means, [{name: torch.zeros_like(mean) for name, mean in values.items()} for values in means]


class FullPosterior(WeightsPosterior):
    """q(w) = N(μ, L Lᵀ) over the n weights of a member in the order of groups: `mean` (M, n), `cholesky` (M, n, n).

    All members of the population must use the same functions. Integrated means here that the whole network is
    linear in its weights: the variance of the output is Σ_k f(L_k)², one forward pass for each column L_k of L.
    """

    def __init__(self, population: Population, integrated: Sequence[bool]):
        super().__init__(population, integrated)
        if not all(index.everyone for index in population.groups):
            raise CallError(
                "a full covariance was asked for members that use different functions; train each structure in a "
                "batch of its own, without spare slots"
            )

    def start(self, means: GroupValues) -> Parameters:
        """μ at the starting means; L a tenth of the identity."""
        flat = torch.cat([value.reshape(len(value), -1) for values in means for value in values.values()], dim=1)
        return {"mean": flat, "cholesky": torch.diag_embed(torch.full_like(flat, START_SD).log())}

    @property
    def size(self) -> int:
        """Number n of weights of a member."""
        return sum(group.size for group in self.groups)

    def noise_fields(self) -> list[NoiseField]:
        """n normals a member, none where all is integrated."""
        if all(self.integrated):
            return []
        return [NoiseField("weights", self.population.groups[0].slots, (self.size,))]

    def _split(self, flat: Tensor) -> list[Weights]:
        """(M, S, n) → for every group (M, S, *shape)."""
        sizes = [group.size for group in self.groups]
        return [split_weights(part, group) for part, group in zip(flat.split(sizes, dim=-1), self.groups, strict=True)]

    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> Draw:
        """w = μ + L ε; where integrated, μ and the columns of L in place of variances (see `LinearOutput`)."""
        mean, raw = parameters["mean"], parameters["cholesky"]
        if all(self.integrated):
            columns: list[Weights | None] = [*self._split(cholesky_factor(raw).mT)]
            return Draw(self._split(mean.unsqueeze(1)), columns)
        drawn = self._split(sample_cholesky(mean, raw, noise["weights"]))
        return Draw(drawn, [None] * len(self.groups), noise["weights"])

    def _flat_precision(self, parameters: Parameters, log_precision: GroupValues) -> Tensor:
        rows = [
            log_precision[index][name].expand(parameters["mean"].shape[0], *shape).reshape(self.population.size, -1)
            for index, group in enumerate(self.groups)
            for name, shape in group.shapes.items()
        ]
        return torch.cat(rows, dim=1)

    def kl(self, parameters: Parameters, log_precision: GroupValues) -> list[Tensor]:
        """½ [tr(A Σ) + μᵀ A μ − n − log|A| − log|Σ|]."""
        precision = self._flat_precision(parameters, log_precision)
        return [kl_cholesky(parameters["mean"], parameters["cholesky"], precision)]

    def log_ratio(self, parameters: Parameters, log_precision: GroupValues, draw: Draw) -> list[Tensor]:
        """log N(w; μ, L Lᵀ) − log N(w; 0, A⁻¹), or the KL where integrated.

        The density is that of ε with w = μ + L ε: solving for ε would lose it where L is ill-conditioned.
        """
        if draw.noise is None:
            return [self.kl(parameters, log_precision)[0].unsqueeze(1)]
        rows = [value.reshape(*value.shape[:2], -1) for weights in draw.weights for value in weights.values()]
        flat = torch.cat(rows, dim=2)
        precision = self._flat_precision(parameters, log_precision).unsqueeze(1)
        return [log_prob_of_noise(draw.noise, parameters["cholesky"]) - log_prob_prior(flat, precision, keep=2)]

    def moments(self, parameters: Parameters) -> tuple[GroupValues, GroupValues]:
        """μ and the diagonal of L Lᵀ."""
        variances = cholesky_factor(parameters["cholesky"]).square().sum(-1)
        squeezed = [
            [{name: value.squeeze(1) for name, value in weights.items()} for weights in self._split(flat.unsqueeze(1))]
            for flat in (parameters["mean"], variances)
        ]
        return squeezed[0], squeezed[1]


def minus_log_density(mean: Mapping[str, Tensor], variance: Mapping[str, Tensor]) -> Tensor:
    """−Σ ln ρ = Σ μ² / (2α) over the weights of a group, (C,), with ρ = q(w = 0) / q(w = μ)."""
    parts = [0.5 * (mean[name].square() / variance[name]).reshape(len(mean[name]), -1).sum(1) for name in mean]
    return torch.stack(parts).sum(0)


def split_weights(flat: Tensor, group: WeightGroup) -> Weights:
    """A group's weights laid end to end, (C, S, size) → (C, S, *shape) each."""
    weights, begin = {}, 0
    for name, shape in group.shapes.items():
        length = int(torch.Size(shape).numel())
        weights[name] = flat[..., begin : begin + length].reshape(*flat.shape[:2], *shape)
        begin += length
    return weights
