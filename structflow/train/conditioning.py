"""Members that are linear in their weights are trained in whitened coordinates.

With f = Φᵀw and C the curvature of −E_q log p(y | f) at every row, H = Φ C Φᵀ / c_reg + A is that of −L / c_reg by the
means. They (and what else the family transforms) are held in coordinates in which H is the identity where training
starts, so that ill-conditioned features (powers of x, correlated inputs) don't slow down the learning of
hyperparameters. For other members nothing is changed, whatever they share a batch with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions.cholesky import lower_factor
from ..objective.bound import Bound
from ..objective.parameters import Named, Parameters
from ..objective.weights_posterior import Factor
from ..spec.graph import Graph
from .linear_fits import in_double, key_of
from .linear_structures import Level, LinearStructure, linear_structures

ALL_WEIGHTS = "weights"
"""Name of the matrix of all weights of a member: that of a joint factor."""

MOST_WEIGHTS = 128
"""Weights of a member up to which its coordinates are white: each member of a batch has a matrix of that size."""


@dataclass(frozen=True)
class Coordinates:
    """Between parameters and the coordinates they are trained in. Whitening matrices T go to the program as tensors.

    For a factor of q(w) (C, n, n), or for all weights (M, n, n) where no edge has a choice, T is the Cholesky factor of
    the posterior's covariance: μ = T m, and what else the family's `transform` says, as L = T R. Other members have
    the identity, and factors that no linear member uses have no matrix.
    """

    bound: Bound
    whitening: dict[str, Tensor]

    def plain(self, coordinates: Parameters, whitening: Mapping[str, Tensor]) -> Parameters:
        """Parameters from coordinates."""
        return self._transformed(coordinates, whitening, back=False)

    def whitened(self, parameters: Parameters) -> Parameters:
        """Coordinates of parameters, in their dtype on their device."""
        return self._transformed(parameters, self.whitening, back=True)

    def _transformed(self, values: Parameters, whitening: Mapping[str, Tensor], back: bool) -> Parameters:
        """q(w) in other coordinates: whole factors by the matrix of their own, the means of several by that of all."""
        weights = self.bound.weights

        def by_own(factor: Factor, own: Named) -> Named:
            matrix = whitening.get(factor.name)
            return own if matrix is None else weights.family.transform(own, matrix.to(own["mean"]), back)

        changed = weights.changed(values, by_own)
        if ALL_WEIGHTS not in whitening or weights.family.plugin.joint:
            return changed
        mean = torch.cat([own["mean"] for own in values.theta.weights], dim=1).unsqueeze(-1)
        matrix, sizes = whitening[ALL_WEIGHTS].to(mean), [factor.size for factor in weights.factors]
        moved = torch.linalg.solve_triangular(matrix, mean, upper=False) if back else matrix @ mean
        means = moved.squeeze(-1).split(sizes, dim=1)
        return weights.changed(changed, lambda factor, own: {**own, "mean": means[factor.number]})


def whitens_together(graph: Graph) -> bool:
    """Whether the weights of all groups have one matrix, rather than each group its own: where no edge has a choice.

    It follows from the spec alone, so that what is computed of a member doesn't depend on its batch-mates.
    """
    return all(edge.space == "all" for edge in graph.edges)


def coordinates_for(bound: Bound, parameters: Parameters, level: Level, members: Tensor | None = None) -> Coordinates:
    """Coordinates that are white at the parameters for linear members; plain ones for the others.

    With `members`, booleans (M,), they are computed for those alone.
    """
    together = bound.weights.family.plugin.joint or whitens_together(bound.population.layout.graph)
    parameters = in_double(parameters, level.x.device)
    wanted = [True] * bound.population.size if members is None else members.tolist()
    whitening: dict[str, Tensor] = {}

    def of_rows(name: str, rows: int, size: int) -> Tensor:
        identity = torch.eye(size, dtype=torch.float64, device=level.x.device)
        return whitening.setdefault(name, identity.repeat(rows, 1, 1))

    for structure in linear_structures(bound, level, MOST_WEIGHTS):
        size, chosen = structure.members.size, [number for number in structure.members.numbers if wanted[number]]
        if not size:
            continue
        covariances = covariances_of(structure, parameters, chosen)
        if together:  # all members have one structure, those of every fold their own rows
            of_rows(ALL_WEIGHTS, bound.population.size, size)[chosen] = lower_factor(covariances)
            continue
        begin = 0
        for factor in structure.factors:
            part = slice(begin, begin := begin + factor.size)
            slots = [structure.slot(factor.groups[0], number) for number in chosen]
            of_rows(factor.name, len(factor.slots), factor.size)[slots] = lower_factor(covariances[:, part, part])
    return Coordinates(bound, whitening)


def covariances_of(structure: LinearStructure, parameters: Parameters, members: Sequence[int]) -> Tensor:
    """H⁻¹ at the q of some members of a structure, (m, n, n)."""
    known: dict[tuple[bytes, ...], Tensor] = {}
    found = [structure.features.new_zeros((0, structure.members.size, structure.members.size))]
    for member in members:
        problem = structure.problem(parameters, member)
        fit = structure.given(parameters, member, problem)
        key = (*key_of(problem, fit), fit.q.mean.cpu().numpy().tobytes(), fit.q.variances.cpu().numpy().tobytes())
        if key not in known:
            objective = problem.objective(fit.own, fit.log_precisions)
            known[key] = torch.cholesky_inverse(lower_factor(objective.weight_precision(objective.slopes(fit.q))))
        found.append(known[key].unsqueeze(0))
    return torch.cat(found)
