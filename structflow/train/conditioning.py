"""Models that are linear in their weights: start at the posterior, train in whitened coordinates.

For f = Φᵀw with a Gaussian likelihood the posterior at given hyperparameters is known: precision
H = Φ C Φᵀ + A with C the curvature of −log p(y | f), mean H⁻¹ Φ ∇_f log p. Training starts there, so that with fixed
hyperparameters it has nothing left to do, and its means (and a full covariance) are held in coordinates in which the
posterior is a standard normal, so that ill-conditioned features (powers of x, correlated inputs) don't slow down the
learning of hyperparameters. For other likelihoods it is one Newton step from f = 0. Elsewhere nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..distributions.normal import cholesky_factor
from ..model.group_index import to_members
from ..model.layout import WeightGroup
from ..objective.bound import Bound
from ..objective.weights_posterior import FullPosterior, Parameters, split_weights
from .fixed_features import fixed_nodes, fixed_values

MOST_WEIGHTS = 128
"""Weights of all groups together up to which a model is conditioned: it takes matrices of that size for each member."""

LEAST_CURVATURE = 1e-6

LEAST_FACTOR = 1e-6
"""In place of a smaller c_reg, under which q would have no variance."""

ALL_WEIGHTS = "weights"
"""Name of the matrix of all weights of a member."""

ADDED = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)
"""What is added to the diagonal of an ill-conditioned matrix, in parts of it."""


def is_linear(bound: Bound) -> bool:
    """Whether the output is linear in all weights, with features that depend on the data alone."""
    layout = bound.population.layout
    sources = {layout.graph.edges[edge].source for group in layout.groups for edge, _ in group.users}
    return (
        bool(layout.groups)
        and all(bound.weights.integrated)
        and not bound.population.is_relaxed
        and sources <= fixed_nodes(layout)
        and sum(group.size for group in layout.groups) <= MOST_WEIGHTS
        and not any(group.is_shared for group in layout.groups)
    )


@dataclass(frozen=True)
class LinearPosterior:
    """The posterior of a linear model at its hyperparameters: mean (M, N), precision and covariance (M, N, N).

    N runs over the weights of all groups; a member's weights in groups that it doesn't use have mean 0, variance 1.
    """

    mean: Tensor
    precision: Tensor
    covariance: Tensor


def linear_posterior(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> LinearPosterior:
    """The q that maximises L for all rows x (rows, *input_shape) and y (rows, …), in float64 on their device.

    With a factor c_reg of the KL its precision is (Φ C Φᵀ + c_reg A) / c_reg; `row_weights` (M, rows) weigh the rows,
    each of which counts `row_weight` times.
    """
    population = bound.population
    indices = population.indices.to(x.device)
    edges, groups = indices.edges, indices.groups
    parameters = {name: value.to(x.device, torch.float64) for name, value in parameters.items()}
    features = torch.cat([group_features(bound, group, x) for group in population.layout.groups])
    zeros = [
        {name: x.new_zeros((len(index.slots), 1, *shape)) for name, shape in group.shapes.items()}
        for group, index in zip(population.layout.groups, population.groups, strict=True)
    ]
    none = [None] * len(zeros)
    offset = population.network.forward(zeros, none, [None] * len(edges), x, edges).mean[:, 0]
    slope, curvature = slope_and_curvature(bound, parameters, y, offset)
    weights = x.new_ones((population.size, len(x))) if row_weights is None else row_weights.double()

    used, prior = [], []
    for group, tensors, log_precision in zip(
        population.layout.groups, groups, bound.prior.log_precision(parameters, x, groups), strict=True
    ):
        slots = next(iter(log_precision.values())).shape[0]
        rows = [log_precision[name].expand(slots, *shape).reshape(slots, -1) for name, shape in group.shapes.items()]
        prior.append(to_members(torch.cat(rows, dim=1).exp(), tensors))
        used.append(to_members(x.new_ones((slots, group.size)), tensors))
    mask, diagonal = torch.cat(used, dim=1), torch.cat(prior, dim=1)
    if row_weights is None:
        data = torch.einsum("nro,mo,kro->mnk", features, curvature, features)
    else:
        data = torch.einsum("nro,mr,mo,kro->mnk", features, weights, curvature, features)
    data = data * mask.unsqueeze(1) * mask.unsqueeze(2)
    share = max(c_reg, LEAST_FACTOR) / row_weight
    precision = data / share + torch.diag_embed(torch.where(mask > 0, diagonal, torch.ones_like(diagonal)))
    gradient = torch.einsum("nro,mr,mro->mn", features, weights, slope) * mask / share
    factor = lower_factor(precision)
    gradient = torch.where(gradient.isfinite(), gradient, 0.0)
    mean = torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
    return LinearPosterior(mean, precision, torch.cholesky_inverse(factor))


def group_features(bound: Bound, group: WeightGroup, x: Tensor) -> Tensor:
    """What each weight of a group adds to the output: (size, rows, *out_shape), flat over the output's axes."""
    units = split_weights(torch.eye(group.size, dtype=x.dtype, device=x.device).unsqueeze(0), group)
    layout = bound.population.layout
    source = layout.graph.edges[group.users[0][0]].source
    function = layout.block(*group.users[0]).function
    fixed = fixed_values(layout, source, x)
    features = vmap(function.forward, (0, None))({name: value[0] for name, value in units.items()}, fixed)
    return features.flatten(2)


def slope_and_curvature(bound: Bound, parameters: Parameters, y: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """∇_f log p(y | f), flat over outputs, and −∂² log p / ∂f² averaged over rows, (M, out); f is (M, rows, …)."""
    own = bound.likelihood_parameters(parameters)

    def total(own_of_member: Mapping[str, Tensor], value: Tensor) -> Tensor:
        return bound.likelihood.log_prob(dict(own_of_member), y, value).sum()

    slope = vmap(grad(total, argnums=1))
    at_f = slope(own, f).flatten(2)
    outputs = at_f.shape[2]
    curvature = []
    for output in range(outputs):  # one small step along each output: exact for a quadratic log likelihood
        step = torch.zeros_like(f).flatten(2)
        step[:, :, output] = 1e-4
        change = slope(own, f + step.reshape(f.shape)).flatten(2)[:, :, output] - at_f[:, :, output]
        curvature.append(-change.mean(1) / 1e-4)
    return at_f, torch.stack(curvature, dim=1).clamp(min=LEAST_CURVATURE)


def start_at_posterior(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> Parameters:
    """The parameters with q(w) at the maximum of L of a linear model (the best mean-field one if diagonal)."""
    if not is_linear(bound):
        return parameters
    posterior = linear_posterior(bound, parameters, x.double(), y.double(), c_reg, row_weights, row_weight)
    if isinstance(bound.weights, FullPosterior):
        factor = lower_factor(posterior.covariance)
        raw = factor.tril(-1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).log())
        return {**parameters, "mean": posterior.mean, "cholesky": raw}
    log_sd = -0.5 * posterior.precision.diagonal(dim1=-2, dim2=-1).log()
    started, begin = dict(parameters), 0
    for group, index in zip(bound.population.layout.groups, bound.population.groups, strict=True):
        slots = torch.from_numpy(index.slots).to(x.device)
        for kind, values in (("mean", posterior.mean), ("log_sd", log_sd)):
            rows = values[slots, begin : begin + group.size].unsqueeze(1)
            for name, value in split_weights(rows, group).items():
                if f"{kind}/{group.name}/{name}" in started:  # a point posterior has no spread
                    started[f"{kind}/{group.name}/{name}"] = value.squeeze(1)
        begin += group.size
    return started


@dataclass(frozen=True)
class Coordinates:
    """Between parameters and the coordinates they are trained in. Whitening matrices T go to the program as tensors.

    For a group (C, n, n), or for all weights (M, n, n) under a full covariance and where no edge has a choice, T is the
    Cholesky factor of the posterior's covariance: μ = T m, and L = T R.
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
        for name, groups in whitened_together(self.bound).items():
            parameters.update(self._means(groups, coordinates, whitening[name].matmul))
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
        for name, groups in whitened_together(self.bound).items():
            matrix = self.whitening[name].to(next(iter(parameters.values())))
            coordinates.update(self._means(groups, parameters, partial(solve, matrix)))
        return coordinates

    def _means(
        self, groups: Sequence[WeightGroup], values: Parameters, transform: Callable[[Tensor], Tensor]
    ) -> Parameters:
        """The means of some groups, laid end to end (C, n, 1), transformed and split again."""
        keys = [f"mean/{group.name}/{name}" for group in groups for name in group.shapes]
        rows = [values[key].flatten(1) if values[key].ndim > 1 else values[key].unsqueeze(1) for key in keys]
        changed = transform(torch.cat(rows, dim=1).unsqueeze(-1)).squeeze(-1)
        parts = changed.split([row.shape[1] for row in rows], dim=1)
        return {key: part.reshape(values[key].shape) for key, part in zip(keys, parts, strict=True)}


def whitened_together(bound: Bound) -> dict[str, Sequence[WeightGroup]]:
    """The weight groups that have one matrix, by its name: all where no edge has a choice, else each its own.

    It follows from the spec alone, so that what is computed of a member doesn't depend on its batch-mates.
    """
    layout = bound.population.layout
    if len(layout.groups) > 1 and all(edge.space == "all" for edge in layout.graph.edges):
        return {ALL_WEIGHTS: layout.groups}
    return {group.name: (group,) for group in layout.groups}


def coordinates_for(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> Coordinates:
    """Whitened coordinates for a linear model at the hyperparameters it starts with; plain ones otherwise."""
    if not is_linear(bound):
        return Coordinates(bound, {})
    covariance = linear_posterior(bound, parameters, x.double(), y.double(), c_reg, row_weights, row_weight).covariance
    if isinstance(bound.weights, FullPosterior) or ALL_WEIGHTS in whitened_together(bound):
        return Coordinates(bound, {ALL_WEIGHTS: lower_factor(covariance)})
    whitening, begin = {}, 0
    for group, index in zip(bound.population.layout.groups, bound.population.groups, strict=True):
        slots = torch.from_numpy(index.slots).to(x.device)
        part = slice(begin, begin + group.size)
        whitening[group.name] = lower_factor(covariance[slots, part, part])
        begin += group.size
    return Coordinates(bound, whitening)


def lower_factor(matrices: Tensor) -> Tensor:
    """The Cholesky factor of positive definite matrices (…, n, n), also of those that rounding left indefinite.

    Scaled to a unit diagonal, each gets the smallest of a few multiples of I added that makes it definite; the
    identity stands for one that isn't finite. A member's factor doesn't depend on the others.
    """
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    usable = matrices.isfinite().all(-1).all(-1) & (diagonal(matrices) > 0).all(-1)
    matrices = torch.where(usable[..., None, None], matrices, identity)
    scale = diagonal(matrices).sqrt()
    scaled = matrices / scale.unsqueeze(-1) / scale.unsqueeze(-2)
    found, missing = torch.zeros_like(scaled), torch.ones_like(usable)
    for added in ADDED:
        factor, failed = torch.linalg.cholesky_ex(scaled + added * identity)
        found = torch.where((missing & (failed == 0))[..., None, None], factor, found)
        missing = missing & (failed > 0)
    return scale.unsqueeze(-1) * torch.where(missing[..., None, None], identity, found)


def diagonal(matrix: Tensor) -> Tensor:
    """The diagonal of the last two axes."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def solve(lower: Tensor, right: Tensor) -> Tensor:
    """T⁻¹ B for a lower triangular T."""
    solution: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solution
