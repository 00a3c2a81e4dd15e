"""q(Γ) and p(Γ) of a relaxed population: samples of γ and their log densities, edge by edge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..model.population import Population
from ..plugins import Space, StructureDistribution
from .noise import NoiseField
from .weights_posterior import Parameters


@dataclass(frozen=True)
class StructureDraw:
    """γ for every edge (M, S, K), None where it is 1; and log q(Γ) − log p(Γ) of the samples, (M, S) or None."""

    gamma: list[Tensor | None]
    log_ratio: Tensor | None


@dataclass(frozen=True)
class StructureTerms:
    """The distributions of one population.

    Parameters of q: `structure/<edge>` = log s_q (M, K) and, where learned, `structure_temperature` = log θ_temp
    (M,). Hyperparameters, where learned: `prior_structure/<edge>` (M, K), whose mean over K is taken away for
    `one`, because s and t·s are the same prior.
    """

    population: Population
    family: type[StructureDistribution]
    options: Any
    temperature: float | Literal["learned"]
    start_temperature: float

    def _edges(self) -> list[tuple[int, str, Space, int]]:
        """(index, key, space, number of candidates) of the edges whose γ is random."""
        edges = self.population.layout.graph.edges
        return [
            (index, edges[index].key, cast(Space, edges[index].space), len(edges[index].functions))
            for index in self.population.choice_edges
        ]

    def start(self) -> Parameters:
        """q starts at the prior."""
        members = self.population.size
        parameters: Parameters = {}
        for _, key, space, n_functions in self._edges():
            row = self.family.prior_log_concentration(space, self.options, n_functions)
            parameters[f"structure/{key}"] = torch.tensor([row] * members, dtype=torch.float64)
        if parameters and self.temperature == "learned":
            value = math.log(self.start_temperature)
            parameters["structure_temperature"] = torch.full((members,), value, dtype=torch.float64)
        return parameters

    def start_hyperparameters(self) -> Parameters:
        """log s of the prior, where it is learned."""
        if not self.options.learned:
            return {}
        return {
            f"prior_structure/{key}": torch.tensor(
                [self.family.prior_log_concentration(space, self.options, n_functions)] * self.population.size,
                dtype=torch.float64,
            )
            for _, key, space, n_functions in self._edges()
        }

    def noise_fields(self) -> list[NoiseField]:
        """Uniforms for every candidate of the edges with a choice."""
        members = np.arange(self.population.size)
        return [NoiseField(f"structure/{key}", members, (n_functions,)) for _, key, _, n_functions in self._edges()]

    def draw(self, parameters: Parameters, noise: Mapping[str, Tensor], prior_temperature: Tensor) -> StructureDraw:
        """Samples from uniforms (M, S, K); the densities of q and p at them, p at `prior_temperature` (c_temp)."""
        gamma: list[Tensor | None] = [None] * len(self.population.layout.graph.edges)
        log_ratio: Tensor | None = None
        for index, key, space, n_functions in self._edges():
            log_s = parameters[f"structure/{key}"].unsqueeze(1)
            temperature = self._temperature(parameters, log_s)
            coordinates = self.family.sample(space, log_s, temperature, noise[f"structure/{key}"])
            prior_log_s = self._prior_log_concentration(parameters, key, space, n_functions, log_s)
            ratio = self.family.log_prob(space, log_s, temperature, coordinates) - self.family.log_prob(
                space, prior_log_s, prior_temperature, coordinates
            )
            gamma[index] = self.family.log_gamma(space, coordinates).exp()
            log_ratio = ratio if log_ratio is None else log_ratio + ratio
        return StructureDraw(gamma, log_ratio)

    def rounding_probabilities(self, parameters: Parameters) -> dict[str, Tensor]:
        """q's probability that each candidate is picked when γ is rounded, (M, K) an edge with a choice."""
        return {
            key: self.family.rounding_probabilities(space, parameters[f"structure/{key}"])
            for _, key, space, _ in self._edges()
        }

    def _temperature(self, parameters: Parameters, like: Tensor) -> Tensor:
        """θ_temp, (M, 1)."""
        if self.temperature == "learned":
            return parameters["structure_temperature"].exp().unsqueeze(1)
        return torch.full_like(like[:, :, 0], self.temperature)

    def _prior_log_concentration(
        self, parameters: Parameters, key: str, space: Space, n_functions: int, like: Tensor
    ) -> Tensor:
        """log s of the prior, (M or 1, 1, K)."""
        if not self.options.learned:
            row = self.family.prior_log_concentration(space, self.options, n_functions)
            return torch.stack([torch.full_like(like[:1, :, 0], value) for value in row], dim=-1)
        log_s = parameters[f"prior_structure/{key}"].unsqueeze(1)
        return log_s - log_s.mean(-1, keepdim=True) if space == "one" else log_s
