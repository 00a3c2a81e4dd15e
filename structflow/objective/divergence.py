"""Divergence of the structure from a set P of distributions p', which c_comb weighs:

    mixture: KL(Γ ‖ |P|⁻¹ Σ p')        sum: Σ KL(Γ ‖ p')

with Γ of the prior p(Γ | h) or of q(Γ). A p' given by concentrations is a relaxed distribution, and the divergence of
relaxed structures is estimated from samples of γ. A p' given by a structure v' is a distribution over rounded ones: the
structure itself up to a probability ε on each edge. With π the rounding probabilities of Γ,

    KL(Γ ‖ P) ≥ −H(π) − log Σ_v π(v) |P|⁻¹ Σ p'(v),

whose right side is used: it is in closed form for any number of structures, and equal to the left at every vertex. It
is convex in each edge's π, so repulsion drives π to a vertex. (Divergences of relaxed structures don't do: that of a Γ
halfway between two visited vertices exceeds that of a vertex that wasn't visited.)

A sum of divergences of products of edges separates over the edges, so it can't tell a structure that was visited from
one whose edges were, one by one, in others; the mixture's log-sum-exp runs over whole structures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..plugins import Space, metaparameter_at
from ..spec.models import Against, Spec
from .guarded_distribution import GuardedDistribution

Of = Literal["prior", "posterior"]
OFS: tuple[Of, ...] = ("prior", "posterior")

SMOOTHING = 0.05
"""Probability ε that a structure which a regime repels from leaves for other choices, on each edge."""


class RelaxedSet(NamedTuple):
    """Relaxed p': log s (P, K) by edge, temperatures (P,), and which are `live`, (P,) in {0, 1}."""

    log_concentration: dict[str, Tensor]
    temperature: Tensor
    live: Tensor


class RoundedSet(NamedTuple):
    """Structures: the probabilities (P, K) of their functions by edge, and which are `live`, (P,) in {0, 1}."""

    probabilities: dict[str, Tensor]
    live: Tensor


class AgainstTensors(NamedTuple):
    """The set P as inputs of the compiled program, by whose divergence it is; parts that are empty are left out."""

    relaxed: dict[Of, RelaxedSet]
    rounded: dict[Of, RoundedSet]

    def to(self, device: torch.device, dtype: torch.dtype) -> AgainstTensors:
        """The same on a device."""
        moved: AgainstTensors = tree_map(lambda value: value.to(device, dtype), self)
        return moved


@dataclass(frozen=True)
class ChoiceEdge:
    """An edge whose γ is random: its index, key, space and the names of its open functions."""

    index: int
    key: str
    space: Space
    names: tuple[str, ...]


@dataclass(frozen=True)
class AgainstSet:
    """The set P: what the spec lists, and what a regime adds."""

    entries: tuple[Against, ...]
    form: Literal["mixture", "sum"]
    temperature: float

    @classmethod
    def of_spec(
        cls, spec: Spec, added: Sequence[Mapping[str, tuple[str, ...]]] = (), stage: int = 0, stages: int = 1
    ) -> AgainstSet:
        """What a spec lists and the structures that a regime adds, which repel the prior p(Γ | h).

        Each of those is given by the functions on every edge any of which it may have chosen there.

        Relaxed p' without a temperature have the prior's at the end of the stage.
        """
        steps = spec.optimizer.inner.steps
        temperature = metaparameter_at(spec.prior.structure.temperature, steps - 1, steps, stage, stages)
        visited = tuple(Against(structure=dict(choices), smoothing=SMOOTHING) for choices in added)
        return cls((*spec.objective.against, *visited), spec.objective.against_form, temperature)

    def relaxed(self, of: Of) -> list[Against]:
        """The relaxed distributions whose divergence is that of the prior, or of the posterior."""
        return [entry for entry in self.entries if entry.of == of and entry.concentration]

    def rounded(self, of: Of) -> list[Against]:
        """The structures from which the divergence is that of the prior, or of the posterior."""
        return [entry for entry in self.entries if entry.of == of and entry.structure]

    def tensors(self, edges: Sequence[ChoiceEdge], all_names: Mapping[str, Sequence[str]]) -> AgainstTensors:
        """The distributions as tensors in float64; `all_names` are the functions of every edge in spec order."""
        found = AgainstTensors({}, {})
        for of in OFS if edges else ():
            relaxed, rounded = filled(self.relaxed(of)), filled(self.rounded(of))
            if relaxed:
                found.relaxed[of] = RelaxedSet(
                    {edge.key: rows(log_concentration(each, edge, all_names[edge.key]) for each in relaxed)
                     for edge in edges},
                    rows(entry.temperature or self.temperature for entry in relaxed),
                    rows(float(place < len(self.relaxed(of))) for place in range(len(relaxed))),
                )  # fmt: skip
            if rounded:
                found.rounded[of] = RoundedSet(
                    {edge.key: rows(rounding_probabilities(entry, edge) for entry in rounded) for edge in edges},
                    rows(float(place < len(self.rounded(of))) for place in range(len(rounded))),
                )
        return found

    def relaxed_divergence(
        self,
        relaxed: RelaxedSet,
        family: GuardedDistribution,
        edges: Sequence[ChoiceEdge],
        coordinates: Mapping[str, Tensor],
        log_density: Tensor,
    ) -> Tensor:
        """log Γ(γ) minus the log density of the mixture, or the sum of such differences, of samples: (M, S).

        `coordinates` are (M, S, K) for every edge, `log_density` (M, S) is that of the distribution they are from.
        """
        temperature = relaxed.temperature.reshape(-1, 1, 1)
        joint = torch.stack(
            [
                family.log_prob(
                    edge.space,
                    relaxed.log_concentration[edge.key].unsqueeze(1).unsqueeze(1),
                    temperature,
                    coordinates[edge.key].unsqueeze(0),
                )
                for edge in edges
            ]
        ).sum(0)
        return self._from(log_density, joint, relaxed.live.reshape(-1, 1, 1))

    def rounded_divergence(
        self, rounded: RoundedSet, edges: Sequence[ChoiceEdge], probabilities: Mapping[str, Tensor]
    ) -> Tensor:
        """−H(π) − log Σ_v π(v) p'(v) for the mixture of all p', or its sum over them: (M,).

        `probabilities` are π for every edge, (M, K): of one function each on a simplex, of each function on a cube.
        """
        overlap, entropy = [], []
        for edge in edges:
            pi, p = probabilities[edge.key].unsqueeze(0), rounded.probabilities[edge.key].unsqueeze(1)
            own = torch.special.entr(pi)
            if edge.space == "any":
                overlap.append((pi * p + (1 - pi) * (1 - p)).log().sum(-1))
                own = own + torch.special.entr(1 - pi)
            else:
                overlap.append((pi * p).sum(-1).log())
            entropy.append(own.sum(-1).squeeze(0))
        negative_entropy = -torch.stack(entropy).sum(0)
        return self._from(negative_entropy, torch.stack(overlap).sum(0), rounded.live.reshape(-1, 1))

    def _from(self, own: Tensor, joint: Tensor, live: Tensor) -> Tensor:
        """`own` minus the log of the mean over live p' of exp(joint), or Σ (own − joint); p' is the first axis."""
        if self.form == "sum":
            return torch.where(live > 0, own.unsqueeze(0) - joint, torch.zeros_like(joint)).sum(0)
        weighed = torch.where(live > 0, joint, torch.full_like(joint, -math.inf))
        return own - (weighed.logsumexp(0) - live.sum().log())


def rows(values: Iterable[float] | Iterable[list[float]]) -> Tensor:
    """Values of each p', in float64."""
    return torch.tensor([*values], dtype=torch.float64)


def places(entries: Sequence[Against]) -> int:
    """Places for distributions: the next power of two, so that the rounds of a regime share programs."""
    return 0 if not entries else 1 << (len(entries) - 1).bit_length()


def filled(entries: Sequence[Against]) -> list[Against]:
    """The entries with spare ones behind, up to the number of places."""
    return [*entries, *[entries[0]] * (places(entries) - len(entries))] if entries else []


def log_concentration(entry: Against, edge: ChoiceEdge, all_names: Sequence[str]) -> list[float]:
    """log s of a relaxed p' for the open functions of an edge; 0 where the entry doesn't name the edge."""
    if edge.key not in entry.concentration:
        return [0.0] * len(edge.names)
    given = dict(zip(all_names, entry.concentration[edge.key], strict=True))
    return [math.log(given[name]) for name in edge.names]


def rounding_probabilities(entry: Against, edge: ChoiceEdge) -> list[float]:
    """p' of a structure for the open functions of an edge: uniform where the entry doesn't name the edge.

    On a simplex 1 − ε for the function chosen, or each that is as good, and ε / (K − 1) for each other one; on a cube
    each function is as in the structure with probability 1 − ε.
    """
    n_names, smoothing = len(edge.names), entry.smoothing
    if edge.key not in entry.structure:
        return [0.5 if edge.space == "any" else 1 / n_names] * n_names
    chosen = entry.structure[edge.key]
    others = smoothing if edge.space == "any" else smoothing / max(1, n_names - 1)
    return [1 - smoothing if name in chosen else others for name in edge.names]
