"""q(Γ) and p(Γ) of a relaxed population: samples of γ and their log densities, edge by edge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..model.population import Population
from ..plugins import Space, StructureOptions
from .divergence import AgainstSet, AgainstTensors, ChoiceEdge, RelaxedSet
from .guarded_distribution import GuardedDistribution
from .noise import NoiseField
from .parameters import Named, Parameter, Parameters, Role

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
    """Samples of q(Γ), or p(Γ): coordinates (M, S, K) for every edge, and the log density of each sample, (M, S)."""

    coordinates: Named
    log_posterior: Tensor


@dataclass(frozen=True)
class StructureTerms:
    """The distributions of one population.

    Parameters of q: log s_q (M, K) of every edge and, where learned, log θ_temp (M,). Hyperparameters, where learned:
    log s (M, K) of every edge, whose mean over K is taken away for `one`, because s and t·s are the same prior. K
    counts the functions that are open.
    """

    population: Population
    family: GuardedDistribution
    options: StructureOptions
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
    def described(self) -> tuple[dict[str, Parameter], tuple[Parameter, ...], dict[str, Parameter]]:
        """What each parameter of q is, and its temperature, and each hyperparameter."""
        edges = self.edges()
        learned = edges if self.options.learned else []
        return (
            {edge.key: Parameter(f"structure/{edge.key}", Role.STRUCTURE, edge=edge.index) for edge in edges},
            (Parameter("structure_temperature", Role.STRUCTURE_TEMPERATURE),) * self._learns_temperature,
            {
                edge.key: Parameter(f"prior_structure/{edge.key}", Role.STRUCTURE_PRIOR, edge=edge.index)
                for edge in learned
            },
        )

    @property
    def _learns_temperature(self) -> bool:
        return self.temperature == "learned" and bool(self.population.choice_edges)

    def start(self) -> tuple[Named, tuple[Tensor, ...]]:
        """q starts at the prior: log s by edge, and log θ_temp where it is learned."""
        temperature = torch.full((self.population.size,), math.log(self.start_temperature), dtype=torch.float64)
        return {edge.key: self._prior_rows(edge) for edge in self.edges()}, (temperature,) * self._learns_temperature

    def start_hyperparameters(self) -> Named:
        """log s of the prior, where it is learned."""
        return {edge.key: self._prior_rows(edge) for edge in self.edges() if self.options.learned}

    def _prior_rows(self, edge: ChoiceEdge) -> Tensor:
        """log s of the prior for every member, (M, K)."""
        return torch.tensor([self._prior_row(edge)] * self.population.size, dtype=torch.float64)

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
        for edge in edges:
            gamma[edge.index] = self.family.log_gamma(edge.space, drawn.coordinates[edge.key]).exp()
        log_s = self._log_s_of_prior(parameters, drawn.coordinates)
        log_prior = self._log_prob(log_s, dict.fromkeys(log_s, prior_temperature), drawn.coordinates)
        divergence: Tensor | None = None
        if against is not None and (against.relaxed or against.rounded):
            divergence = torch.zeros_like(log_prior)
            if "posterior" in against.relaxed:
                divergence = divergence + self.against.relaxed_divergence(
                    against.relaxed["posterior"], self.family, edges, drawn.coordinates, drawn.log_posterior
                )
            if "prior" in against.relaxed:
                of_prior = self._prior_divergence(parameters, noise, prior_temperature, against.relaxed["prior"])
                divergence = divergence + of_prior
            divergence = divergence + self._rounded_divergence(parameters, edges, against).unsqueeze(1)
        return StructureDraw(gamma, drawn.log_posterior - log_prior, divergence)

    def sample(self, parameters: Parameters, noise: Mapping[str, Tensor]) -> StructureSamples:
        """Samples of q(Γ) from uniforms (M, S, K) an edge; there must be an edge with a choice."""
        log_s = {key: value.unsqueeze(1) for key, value in parameters.theta.structure.items()}
        temperatures = {key: self._temperature(parameters, value) for key, value in log_s.items()}
        return self._sampled(log_s, temperatures, {key: noise[f"structure/{key}"] for key in log_s})

    def _sampled(self, log_s: Named, temperatures: Named, uniforms: Named) -> StructureSamples:
        """Samples of a relaxed distribution, everything by edge."""
        coordinates = {
            edge.key: self.family.sample(edge.space, log_s[edge.key], temperatures[edge.key], uniforms[edge.key])
            for edge in self.edges()
        }
        return StructureSamples(coordinates, self._log_prob(log_s, temperatures, coordinates))

    def _log_prob(self, log_s: Named, temperatures: Named, coordinates: Named) -> Tensor:
        """The log density of samples, (M, S), everything by edge."""
        parts = [
            self.family.log_prob(edge.space, log_s[edge.key], temperatures[edge.key], coordinates[edge.key])
            for edge in self.edges()
        ]
        return reduce(torch.add, parts)

    def _log_s_of_prior(self, parameters: Parameters, like: Named) -> Named:
        """log s of the prior by edge."""
        return {edge.key: self.prior_log_concentration(parameters, edge, like[edge.key]) for edge in self.edges()}

    def _rounded_divergence(self, parameters: Parameters, edges: list[ChoiceEdge], against: AgainstTensors) -> Tensor:
        """The divergence of the rounded structures of p(Γ | h) and q(Γ) from those of P, (M,)."""
        total = torch.zeros_like(parameters.theta.structure[edges[0].key][:, 0])
        if "posterior" in against.rounded:
            chances = self.rounding_probabilities(parameters)
            total = total + self.against.rounded_divergence(against.rounded["posterior"], edges, chances)
        if "prior" in against.rounded:
            like = {key: value.unsqueeze(1) for key, value in parameters.theta.structure.items()}
            log_s = self._log_s_of_prior(parameters, like)
            chances = {
                edge.key: self.family.rounding_probabilities(edge.space, log_s[edge.key].squeeze(1)) for edge in edges
            }
            total = total + self.against.rounded_divergence(against.rounded["prior"], edges, chances)
        return total

    def _prior_divergence(
        self, parameters: Parameters, noise: Mapping[str, Tensor], temperature: Tensor, relaxed: RelaxedSet
    ) -> Tensor:
        """The divergence of p(Γ | h) from the relaxed p' of P at samples of p(Γ | h), (M, S)."""
        edges = self.edges()
        uniforms = {edge.key: noise[f"prior_structure/{edge.key}"] for edge in edges}
        log_s = self._log_s_of_prior(parameters, uniforms)
        drawn = self._sampled(
            log_s, {key: temperature.expand(value.shape[:-1]) for key, value in log_s.items()}, uniforms
        )
        return self.against.relaxed_divergence(relaxed, self.family, edges, drawn.coordinates, drawn.log_posterior)

    def rounding_probabilities(self, parameters: Parameters) -> dict[str, Tensor]:
        """q's probability that each open function is picked when γ is rounded, (M, K) an edge with a choice."""
        return {
            edge.key: self.family.rounding_probabilities(edge.space, parameters.theta.structure[edge.key])
            for edge in self.edges()
        }

    def _temperature(self, parameters: Parameters, like: Tensor) -> Tensor:
        """θ_temp, (M, 1)."""
        if self.temperature == "learned":
            return parameters.theta.log_temperature[0].exp().unsqueeze(1)
        return torch.full_like(like[:, :, 0], self.temperature)

    def prior_log_concentration(self, parameters: Parameters, edge: ChoiceEdge, like: Tensor) -> Tensor:
        """log s of the prior, (M or 1, 1, K)."""
        if not self.options.learned:
            row = self._prior_row(edge)
            return torch.stack([torch.full_like(like[:1, :1, 0], value) for value in row], dim=-1)
        log_s = parameters.hyper.structure[edge.key].unsqueeze(1)
        return log_s - log_s.mean(-1, keepdim=True) if edge.space == "one" else log_s
