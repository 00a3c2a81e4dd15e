"""Members that are linear in their weights are trained in whitened coordinates.

With f = Φᵀw and C the curvature of −E_q log p(y | f) at every row, H = Φ C Φᵀ / c_reg + A is that of −L / c_reg by the
means. They (and a full covariance) are held in coordinates in which H is the identity where training starts, so that
ill-conditioned features (powers of x, correlated inputs) don't slow down the learning of hyperparameters. For other
members nothing is changed, whatever they share a batch with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..distributions.normal import cholesky_factor
from ..model.layout import WeightGroup
from ..objective.bound import Bound
from ..objective.weights_posterior import FullPosterior, Parameters
from ..spec.graph import Graph
from .cholesky import diagonal, lower_factor
from .linear_fits import in_double, key_of
from .linear_structures import Level, LinearStructure, linear_structures

ALL_WEIGHTS = "weights"
"""Name of the matrix of all weights of a member."""

MOST_WEIGHTS = 128
"""Weights of a member up to which its coordinates are white: each member of a batch has a matrix of that size."""


@dataclass(frozen=True)
class Coordinates:
    """Between parameters and the coordinates they are trained in. Whitening matrices T go to the program as tensors.

    For a group (C, n, n), or for all weights (M, n, n) under a full covariance and where no edge has a choice, T is the
    Cholesky factor of the posterior's covariance: μ = T m, and L = T R. Other members have the identity, and groups
    that no linear member uses have no matrix.
    """

    bound: Bound
    whitening: dict[str, Tensor]

    def plain(self, coordinates: Parameters, whitening: Mapping[str, Tensor]) -> Parameters:
        """Parameters from coordinates."""
        if not whitening:
            return coordinates
        parameters = dict(coordinates)
        if isinstance(self.bound.weights, FullPosterior):
            matrix = whitening[ALL_WEIGHTS]
            parameters["mean"] = (matrix @ coordinates["mean"].unsqueeze(-1)).squeeze(-1)
            factor = matrix @ cholesky_factor(coordinates["cholesky"])
            log_diagonal = diagonal(matrix).log() + diagonal(coordinates["cholesky"])
            parameters["cholesky"] = factor.tril(-1) + torch.diag_embed(log_diagonal)
            return parameters
        for name, matrix in whitening.items():
            parameters.update(self._means(self._groups(name), coordinates, matrix.matmul))
        return parameters

    def whitened(self, parameters: Parameters) -> Parameters:
        """Coordinates of parameters, in their dtype on their device."""
        if not self.whitening:
            return parameters
        coordinates = dict(parameters)
        if isinstance(self.bound.weights, FullPosterior):
            matrix = self.whitening[ALL_WEIGHTS].to(parameters["mean"])
            coordinates["mean"] = solve(matrix, parameters["mean"].unsqueeze(-1)).squeeze(-1)
            factor = solve(matrix, cholesky_factor(parameters["cholesky"]))
            coordinates["cholesky"] = factor.tril(-1) + torch.diag_embed(diagonal(factor).log())
            return coordinates
        for name, whitening in self.whitening.items():
            matrix = whitening.to(next(iter(parameters.values())))
            coordinates.update(self._means(self._groups(name), parameters, partial(solve, matrix)))
        return coordinates

    def _groups(self, name: str) -> Sequence[WeightGroup]:
        """The weight groups that the matrix of a name is for."""
        groups = self.bound.population.layout.groups
        return groups if name == ALL_WEIGHTS else [group for group in groups if group.name == name]

    def _means(
        self, groups: Sequence[WeightGroup], values: Parameters, transform: Callable[[Tensor], Tensor]
    ) -> Parameters:
        """The means of some groups, laid end to end (C, n, 1), transformed and split again."""
        keys = [f"mean/{group.name}/{name}" for group in groups for name in group.shapes]
        rows = [values[key].flatten(1) if values[key].ndim > 1 else values[key].unsqueeze(1) for key in keys]
        changed = transform(torch.cat(rows, dim=1).unsqueeze(-1)).squeeze(-1)
        parts = changed.split([row.shape[1] for row in rows], dim=1)
        return {key: part.reshape(values[key].shape) for key, part in zip(keys, parts, strict=True)}


def whitens_together(graph: Graph) -> bool:
    """Whether the weights of all groups have one matrix, rather than each group its own: where no edge has a choice.

    It follows from the spec alone, so that what is computed of a member doesn't depend on its batch-mates.
    """
    return all(edge.space == "all" for edge in graph.edges)


def coordinates_for(bound: Bound, parameters: Parameters, level: Level, members: Tensor | None = None) -> Coordinates:
    """Coordinates that are white at the parameters for linear members; plain ones for the others.

    With `members`, booleans (M,), they are computed for those alone.
    """
    together = isinstance(bound.weights, FullPosterior) or whitens_together(bound.population.layout.graph)
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
        for number, part in structure.parts.items():
            group, index = bound.population.layout.groups[number], bound.population.groups[number]
            slots = index.positions[chosen].tolist()
            of_rows(group.name, len(index.slots), group.size)[slots] = lower_factor(covariances[:, part, part])
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


def solve(lower: Tensor, right: Tensor) -> Tensor:
    """T⁻¹ B for a lower triangular T."""
    solution: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solution
