"""q(Γ) and p(Γ) of a relaxed population: samples of γ and their log densities, edge by edge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..model.population import Population
from ..plugins import Space
from .divergence import AgainstSet, AgainstTensors, ChoiceEdge
from .guarded_distribution import GuardedDistribution
from .noise import NoiseField
from .parameters import Parameter, Parameters, Role

NOTHING = AgainstSet((), "mixture", 1.0)


@dataclass(frozen=True)
class StructureDraw:
    """γ of the open functions of every edge (M, S, K), None where it is 1, and of the samples, (M, S) or None:

    log q(Γ) − log p(Γ), and the divergence from the set P.
    """

    gamma: list[Tensor | None]
    log_ratio: Tensor | None = None
    divergence: Tensor | None = None


@dataclass(frozen=True)
class StructureSamples:
    """Samples of q(Γ): coordinates (M, S, K) for every edge, and log q of each sample, (M, S)."""

    coordinates: dict[str, Tensor]
    log_posterior: Tensor


@dataclass(frozen=True)
class StructureTerms:
    """The distributions of one population.

    Parameters of q: `structure/<edge>` = log s_q (M, K) and, where learned, `structure_temperature` = log θ_temp
    (M,). Hyperparameters, where learned: `prior_structure/<edge>` (M, K), whose mean over K is taken away for
    `one`, because s and t·s are the same prior. K counts the functions that are open.
    """

    population: Population
    family: GuardedDistribution
    options: Any
    temperature: float | Literal["learned"]
    start_temperature: float
    against: AgainstSet = field(default=NOTHING)

    def edges(self) -> list[ChoiceEdge]:
        """The edges whose γ is random."""
        layout = self.population.layout
        return [
            ChoiceEdge(
                index,
                layout.graph.edges[index].key,
                cast(Space, layout.graph.edges[index].space),
                tuple(block.name for block in layout.blocks[index]),
            )
            for index in self.population.choice_edges
        ]

    def against_tensors(self) -> AgainstTensors:
        """The set P as inputs of the program."""
        names = {
            edge.key: [function.name for function in edge.functions] for edge in self.population.layout.graph.edges
        }
        return self.against.tensors(self.edges(), names)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What each parameter is, by name."""
        edges, found = self.edges(), {}
        for edge in edges:
            found[f"structure/{edge.key}"] = Parameter(Role.STRUCTURE, edge=edge.index)
            if self.options.learned:
                found[f"prior_structure/{edge.key}"] = Parameter(Role.STRUCTURE_PRIOR, edge=edge.index)
        if edges and self.temperature == "learned":
            found["structure_temperature"] = Parameter(Role.STRUCTURE_TEMPERATURE)
        return found

    def start(self) -> Parameters:
        """q starts at the prior."""
        members = self.population.size
        parameters: Parameters = {}
        for edge in self.edges():
            row = self._prior_row(edge)
            parameters[f"structure/{edge.key}"] = torch.tensor([row] * members, dtype=torch.float64)
        if parameters and self.temperature == "learned":
            value = math.log(self.start_temperature)
            parameters["structure_temperature"] = torch.full((members,), value, dtype=torch.float64)
        return parameters

    def start_hyperparameters(self) -> Parameters:
        """log s of the prior, where it is learned."""
        if not self.options.learned:
            return {}
        return {
            f"prior_structure/{edge.key}": torch.tensor(
                [self._prior_row(edge)] * self.population.size, dtype=torch.float64
            )
            for edge in self.edges()
        }

    def _prior_row(self, edge: ChoiceEdge) -> list[float]:
        """log s of the prior, K numbers: those of the open functions among all of the edge, whose places count."""
        names = [function.name for function in self.population.layout.graph.edges[edge.index].functions]
        row = self.family.prior_log_concentration(edge.space, self.options, len(names))
        return [row[names.index(name)] for name in edge.names]

    def noise_fields(self) -> list[NoiseField]:
        """Uniforms for every open function of the edges with a choice: for q, and for p where P repels or draws it."""
        members = np.arange(self.population.size)
        kinds = ["structure", "prior_structure"] if self.against.relaxed("prior") else ["structure"]
        return [
            NoiseField(f"{kind}/{edge.key}", members, (len(edge.names),)) for kind in kinds for edge in self.edges()
        ]

    def draw(
        self,
        parameters: Parameters,
        noise: Mapping[str, Tensor],
        prior_temperature: Tensor,
        against: AgainstTensors | None = None,
    ) -> StructureDraw:
        """Samples from uniforms (M, S, K); the densities of q and p at them, p at `prior_temperature` (c_temp)."""
        gamma: list[Tensor | None] = [None] * len(self.population.layout.graph.edges)
        edges = self.edges()
        if not edges:
            return StructureDraw(gamma)
        drawn = self.sample(parameters, noise)
        log_prior: Tensor | None = None
        for edge in edges:
            coordinates = drawn.coordinates[edge.key]
            log_s = self.prior_log_concentration(parameters, edge, coordinates)
            part = self.family.log_prob(edge.space, log_s, prior_temperature, coordinates)
            log_prior = part if log_prior is None else log_prior + part
            gamma[edge.index] = self.family.log_gamma(edge.space, coordinates).exp()
        assert log_prior is not None
        divergence: Tensor | None = None
        if against:
            divergence = torch.zeros_like(log_prior)
            if self.against.relaxed("posterior"):
                divergence = divergence + self.against.relaxed_divergence(
                    "posterior", self.family, edges, against, drawn.coordinates, drawn.log_posterior
                )
            if self.against.relaxed("prior"):
                divergence = divergence + self._prior_divergence(parameters, edges, noise, prior_temperature, against)
            divergence = divergence + self._rounded_divergence(parameters, edges, against).unsqueeze(1)
        return StructureDraw(gamma, drawn.log_posterior - log_prior, divergence)

    def sample(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> StructureSamples:
        """Samples of q(Γ) from uniforms (M, S, K) an edge; there must be an edge with a choice."""
        coordinates: dict[str, Tensor] = {}
        log_posterior: Tensor | None = None
        for edge in self.edges():
            log_s = parameters[f"structure/{edge.key}"].unsqueeze(1)
            temperature = self._temperature(parameters, log_s)
            coordinates[edge.key] = self.family.sample(edge.space, log_s, temperature, noise[f"structure/{edge.key}"])
            part = self.family.log_prob(edge.space, log_s, temperature, coordinates[edge.key])
            log_posterior = part if log_posterior is None else log_posterior + part
        assert log_posterior is not None
        return StructureSamples(coordinates, log_posterior)

    def _rounded_divergence(self, parameters: Parameters, edges: list[ChoiceEdge], against: AgainstTensors) -> Tensor:
        """The divergence of the rounded structures of p(Γ | h) and q(Γ) from those of P, (M,)."""
        total = torch.zeros_like(parameters[f"structure/{edges[0].key}"][:, 0])
        if self.against.rounded("posterior"):
            chances = self.rounding_probabilities(parameters)
            total = total + self.against.rounded_divergence("posterior", edges, against, chances)
        if self.against.rounded("prior"):
            log_s = {
                edge.key: self.prior_log_concentration(
                    parameters, edge, parameters[f"structure/{edge.key}"].unsqueeze(1)
                ).squeeze(1)
                for edge in edges
            }
            chances = {edge.key: self.family.rounding_probabilities(edge.space, log_s[edge.key]) for edge in edges}
            total = total + self.against.rounded_divergence("prior", edges, against, chances)
        return total

    def _prior_divergence(
        self,
        parameters: Parameters,
        edges: list[ChoiceEdge],
        noise: Mapping[str, Tensor],
        temperature: Tensor,
        against: AgainstTensors,
    ) -> Tensor:
        """The divergence of p(Γ | h) from the relaxed p' of P at samples of p(Γ | h), (M, S)."""
        density: Tensor | None = None
        coordinates: dict[str, Tensor] = {}
        for edge in edges:
            uniforms = noise[f"prior_structure/{edge.key}"]
            log_s = self.prior_log_concentration(parameters, edge, uniforms)
            at = temperature.expand(log_s.shape[:-1])
            coordinates[edge.key] = self.family.sample(edge.space, log_s, at, uniforms)
            part = self.family.log_prob(edge.space, log_s, at, coordinates[edge.key])
            density = part if density is None else density + part
        assert density is not None
        return self.against.relaxed_divergence("prior", self.family, edges, against, coordinates, density)

    def rounding_probabilities(self, parameters: Parameters) -> dict[str, Tensor]:
        """q's probability that each open function is picked when γ is rounded, (M, K) an edge with a choice."""
        return {
            edge.key: self.family.rounding_probabilities(edge.space, parameters[f"structure/{edge.key}"])
            for edge in self.edges()
        }

    def _temperature(self, parameters: Parameters, like: Tensor) -> Tensor:
        """θ_temp, (M, 1)."""
        if self.temperature == "learned":
            return parameters["structure_temperature"].exp().unsqueeze(1)
        return torch.full_like(like[:, :, 0], self.temperature)

    def prior_log_concentration(self, parameters: Parameters, edge: ChoiceEdge, like: Tensor) -> Tensor:
        """log s of the prior, (M or 1, 1, K)."""
        if not self.options.learned:
            row = self._prior_row(edge)
            return torch.stack([torch.full_like(like[:1, :1, 0], value) for value in row], dim=-1)
        log_s = parameters[f"prior_structure/{edge.key}"].unsqueeze(1)
        return log_s - log_s.mean(-1, keepdim=True) if edge.space == "one" else log_s
