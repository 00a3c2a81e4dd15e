"""Divergence of the structure from a set P of distributions p', which c_comb weighs:

    mixture: KL(Γ ‖ |P|⁻¹ Σ p')        sum: Σ KL(Γ ‖ p')

with Γ of the prior p(Γ | h) or of q(Γ), estimated from samples. A sum of divergences of products of edges separates
over the edges, so it can't tell a structure that was visited from one whose edges were, one by one, in others; the
mixture's log-sum-exp runs over joint densities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..plugins import Space, StructureDistribution, metaparameter_at
from ..spec.models import Against, Spec
from ..spec.structures import Structure

Of = Literal["prior", "posterior"]
OFS: tuple[Of, ...] = ("prior", "posterior")

SMOOTHING = 0.05
"""Probability that a structure which a regime repels from leaves for other choices, on each edge."""

AgainstTensors = dict[str, Tensor]
"""Inputs of the compiled program: `<of>/<edge>` log s (P, K), `<of>/temperature` (P,), `<of>/live` (P,) in {0, 1}."""


@dataclass(frozen=True)
class ChoiceEdge:
    """An edge whose γ is random: its index, key, space and the names of its open functions."""

    index: int
    key: str
    space: Space
    names: tuple[str, ...]


@dataclass(frozen=True)
class AgainstSet:
    """The set P: what the spec lists, and what a regime adds. `capacity` places make rounds share one program."""

    entries: tuple[Against, ...]
    form: Literal["mixture", "sum"]
    temperature: float

    @classmethod
    def of_spec(cls, spec: Spec, added: Sequence[Structure] = ()) -> AgainstSet:
        """What a spec lists and the structures that a regime adds, which repel the prior p(Γ | h)."""
        steps = spec.optimizer.inner.steps
        temperature = metaparameter_at(spec.prior.structure.temperature, steps - 1, steps, 0, 1)
        visited = tuple(Against(structure=dict(structure.edges), smoothing=SMOOTHING) for structure in added)
        return cls((*spec.objective.against, *visited), spec.objective.against_form, temperature)

    def members(self, of: Of) -> list[Against]:
        """The distributions whose divergence is that of the prior, or of the posterior."""
        return [entry for entry in self.entries if entry.of == of]

    def capacity(self, of: Of) -> int:
        """Places for distributions: the next power of two."""
        count = len(self.members(of))
        return 0 if count == 0 else 1 << (count - 1).bit_length()

    @property
    def signature(self) -> str:
        """What a compiled program depends on."""
        return repr((self.form, [self.capacity(of) for of in OFS]))

    def tensors(self, edges: Sequence[ChoiceEdge], all_names: Mapping[str, Sequence[str]]) -> AgainstTensors:
        """The distributions as tensors in float64; `all_names` are the functions of every edge in spec order."""
        found: AgainstTensors = {}
        for of in OFS:
            places = self.capacity(of)
            if places == 0 or not edges:
                continue
            entries = self.members(of)
            filled = [*entries, *[entries[0]] * (places - len(entries))]
            for edge in edges:
                rows = [log_concentration(entry, edge, all_names[edge.key]) for entry in filled]
                found[f"{of}/{edge.key}"] = torch.tensor(rows, dtype=torch.float64)
            temperatures = [entry.temperature or self.temperature for entry in filled]
            found[f"{of}/temperature"] = torch.tensor(temperatures, dtype=torch.float64)
            found[f"{of}/live"] = (torch.arange(places) < len(entries)).double()
        return found

    def divergence(
        self,
        of: Of,
        family: type[StructureDistribution],
        edges: Sequence[ChoiceEdge],
        tensors: AgainstTensors,
        coordinates: Mapping[str, Tensor],
        log_density: Tensor,
    ) -> Tensor:
        """log Γ(γ) minus the log density of the mixture, or the sum of such differences, of samples: (M, S).

        `coordinates` are (M, S, K) for every edge, `log_density` (M, S) is that of the distribution they are from.
        """
        temperature = tensors[f"{of}/temperature"].reshape(-1, 1, 1)
        joint: Tensor | None = None
        for edge in edges:
            log_s = tensors[f"{of}/{edge.key}"].unsqueeze(1).unsqueeze(1)
            part = family.log_prob(edge.space, log_s, temperature, coordinates[edge.key].unsqueeze(0))
            joint = part if joint is None else joint + part
        assert joint is not None
        live = tensors[f"{of}/live"].reshape(-1, 1, 1)
        if self.form == "sum":
            return torch.where(live > 0, log_density.unsqueeze(0) - joint, torch.zeros_like(joint)).sum(0)
        weighed = torch.where(live > 0, joint, torch.full_like(joint, -math.inf))
        return log_density - (weighed.logsumexp(0) - live.sum().log())


def log_concentration(entry: Against, edge: ChoiceEdge, all_names: Sequence[str]) -> list[float]:
    """log s of p' for the open functions of an edge; 0 where the entry doesn't name the edge.

    A structure leaves the probability ε = `smoothing` to other choices: on a simplex log s is log(1 − ε) for the
    function chosen and log(ε / (K − 1)) for the others; on a cube the log odds are ± log((1 − ε) / ε).
    """
    if edge.key in entry.concentration:
        given = dict(zip(all_names, entry.concentration[edge.key], strict=True))
        return [math.log(given[name]) for name in edge.names]
    if edge.key not in entry.structure:
        return [0.0] * len(edge.names)
    chosen, smoothing = entry.structure[edge.key], entry.smoothing
    if edge.space == "any":
        odds = math.log((1 - smoothing) / smoothing)
        return [odds if name in chosen else -odds for name in edge.names]
    others = smoothing / max(1, len(edge.names) - 1)
    return [math.log(1 - smoothing) if name in chosen else math.log(others) for name in edge.names]
