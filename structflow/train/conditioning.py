"""Members that are linear in their weights: start at the posterior, train in whitened coordinates.

For f = Φᵀw with a Gaussian likelihood the posterior at given hyperparameters is known: precision
H = Φ C Φᵀ + A with C the curvature of −log p(y | f), mean H⁻¹ Φ ∇_f log p. Training starts there, so that with fixed
hyperparameters it has nothing left to do, and its means (and a full covariance) are held in coordinates in which the
posterior is a standard normal, so that ill-conditioned features (powers of x, correlated inputs) don't slow down the
learning of hyperparameters. For other likelihoods it is one Newton step from f = 0. For other members nothing is
changed, whatever they share a batch with.
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
from ..objective.weights_posterior import FullPosterior, Parameters, split_weights
from ..spec.graph import Graph
from .linear_posterior import diagonal, linear_posteriors, lower_factor

ALL_WEIGHTS = "weights"
"""Name of the matrix of all weights of a member."""


def start_at_posterior(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> Parameters:
    """The parameters with q(w) of linear members at the maximum of L (the best mean-field one if diagonal).

    The arguments are those of `linear_posteriors`.
    """
    started = dict(parameters)
    for posterior in linear_posteriors(bound, parameters, x, y, c_reg, row_weights, row_weight):
        if isinstance(bound.weights, FullPosterior):
            factor = lower_factor(posterior.covariance)
            raw = factor.tril(-1) + torch.diag_embed(diagonal(factor).log())
            put(started, "mean", posterior.members, posterior.mean)
            put(started, "cholesky", posterior.members, raw)
            continue
        log_sd = -0.5 * diagonal(posterior.precision).log()
        for number, part in posterior.parts.items():
            group = bound.population.layout.groups[number]
            slots = slots_of(bound, number, posterior.members)
            for kind, values in (("mean", posterior.mean), ("log_sd", log_sd)):
                for name, value in split_weights(values[:, part].unsqueeze(1), group).items():
                    if f"{kind}/{group.name}/{name}" in started:  # a point posterior has no spread
                        put(started, f"{kind}/{group.name}/{name}", slots, value.squeeze(1))
    return started


def put(parameters: dict[str, Tensor], name: str, rows: Tensor, values: Tensor) -> None:
    """Replace rows of a parameter; the tensor that was there is left as it is."""
    old = parameters[name]
    parameters[name] = old.index_copy(0, rows.to(old.device), values.to(old))


def slots_of(bound: Bound, number: int, members: Tensor) -> Tensor:
    """The slots of members in a weight group that they use."""
    return torch.from_numpy(bound.population.groups[number].positions).to(members.device)[members]


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


def coordinates_for(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> Coordinates:
    """Whitened coordinates for linear members at the hyperparameters they start with; plain ones for the others.

    The arguments are those of `linear_posteriors`.
    """
    together = isinstance(bound.weights, FullPosterior) or whitens_together(bound.population.layout.graph)
    whitening: dict[str, Tensor] = {}
    for posterior in linear_posteriors(bound, parameters, x, y, c_reg, row_weights, row_weight):
        if together:  # all members have one structure, those of every fold their own rows
            factors = lower_factor(posterior.covariance)
            whole = whitening.setdefault(ALL_WEIGHTS, factors.new_zeros((bound.population.size, *factors.shape[1:])))
            whole[posterior.members] = factors
            continue
        for number, part in posterior.parts.items():
            group = bound.population.layout.groups[number]
            if group.name not in whitening:
                slots = len(bound.population.groups[number].slots)
                identity = torch.eye(group.size, dtype=torch.float64, device=x.device)
                whitening[group.name] = identity.repeat(slots, 1, 1)
            slots_of_members = slots_of(bound, number, posterior.members)
            whitening[group.name][slots_of_members] = lower_factor(posterior.covariance[:, part, part])
    return Coordinates(bound, whitening)


def solve(lower: Tensor, right: Tensor) -> Tensor:
    """T⁻¹ B for a lower triangular T."""
    solution: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solution
