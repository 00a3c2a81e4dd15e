"""The posterior of models that are linear in their weights, at given hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..errors import FunctionError
from ..model.group_index import to_members
from ..model.layout import FunctionBlock
from ..model.network import checked_value, named_function
from ..objective.bound import Bound
from ..objective.weights_posterior import Parameters, split_weights
from ..plugins.calling import Calling
from ..spec.graph import OUTPUT
from .linear_members import fixed_values, linear_members, rows_of

LEAST_CURVATURE = 1e-6

LEAST_FACTOR = 1e-6
"""In place of a smaller c_reg, under which q would have no variance."""

ADDED = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)
"""What is added to the diagonal of an ill-conditioned matrix, in parts of it."""


@dataclass(frozen=True)
class LinearPosterior:
    """The posterior of the m `members` of a linear structure: mean (m, n), precision and covariance (m, n, n).

    n runs over the structure's weights; `parts` says for the number of each weight group which of them are its own.
    """

    members: Tensor
    parts: Mapping[int, slice]
    mean: Tensor
    precision: Tensor
    covariance: Tensor


def linear_posteriors(
    bound: Bound,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    c_reg: float = 1.0,
    row_weights: Tensor | None = None,
    row_weight: float = 1.0,
) -> Iterator[LinearPosterior]:
    """For every linear structure the q that maximises L for all rows x (rows, *input_shape) and y (rows, …).

    It is computed in float64 on their device: for f = Φᵀw, C the curvature of −log p(y | f) and A the precisions of the
    prior, H = Φ C Φᵀ / c_reg + A with a factor c_reg of the KL, and μ = H⁻¹ Φ ∇_f log p / c_reg. Where `row_weights`
    (M, rows) are given they weigh the rows, each of which counts `row_weight` times.
    """
    linear = linear_members(bound)
    if not linear:
        return
    population = bound.population
    layout, indices = population.layout, population.indices.to(x.device)
    all_x, all_y = x.double(), y.double()
    parameters = {name: value.to(x.device, torch.float64) for name, value in parameters.items()}
    log_precision = bound.prior.log_precision(parameters, x, indices.groups)
    share = max(c_reg, LEAST_FACTOR) / row_weight
    precisions = {}
    for number in sorted({number for structure in linear for number in structure.groups}):
        group, values = layout.groups[number], log_precision[number]
        slots = next(iter(values.values())).shape[0]
        rows = [values[name].expand(slots, *shape).reshape(slots, -1) for name, shape in group.shapes.items()]
        precisions[number] = to_members(torch.cat(rows, dim=1).exp(), indices.groups[number])
    for structure in linear:
        members = torch.tensor(structure.numbers, device=x.device)
        x, y = (rows_of(bound, structure, values) for values in (all_x, all_y))
        features = torch.cat([group_features(bound, structure.blocks, number, x) for number in structure.groups])
        offset = output_without_weights(bound, structure.blocks, x)
        slope, curvature = slope_and_curvature(bound, parameters, members, y, offset)
        weights = x.new_ones((len(members), len(x))) if row_weights is None else row_weights[members].double()
        data = curvature_of_weights(features, curvature, weights)
        prior = torch.cat([precisions[number][members] for number in structure.groups], dim=1)
        precision = data / share + torch.diag_embed(prior)
        gradient = slope_of_weights(features, slope, weights) / share
        gradient = torch.where(gradient.isfinite(), gradient, 0.0)
        factor = lower_factor(precision)
        mean = torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
        sizes = [layout.groups[number].size for number in structure.groups]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        parts = {
            number: slice(end - size, end) for number, size, end in zip(structure.groups, sizes, ends, strict=True)
        }
        yield LinearPosterior(members, parts, mean, precision, torch.cholesky_inverse(factor))


def group_features(bound: Bound, blocks: Sequence[Sequence[FunctionBlock]], number: int, x: Tensor) -> Tensor:
    """What each weight of a group adds to a structure's output: (size, rows, out), flat over the output's axes."""
    layout = bound.population.layout
    group = layout.groups[number]
    block = next(block for row in blocks for block in row if block.group == number)
    units = split_weights(torch.eye(group.size, dtype=x.dtype, device=x.device).unsqueeze(0), group)
    fixed = fixed_values(layout, blocks, layout.graph.edges[block.edge].source, x)
    name, method = named_function(layout, block), "forward"
    with Calling(type(block.function), method, name, FunctionError):
        features = vmap(block.function.forward, (0, None))({name: value[0] for name, value in units.items()}, fixed)
    checked_value(name, method, block.function, features, fixed, leading=1)
    return features.flatten(2)


def curvature_of_weights(features: Tensor, curvature: Tensor, row_weights: Tensor) -> Tensor:
    """Φ C Φᵀ of every member, (m, n, n), for features (n, rows, out), C (m, out) and weights of rows (m, rows).

    Gram matrices are computed once for members whose rows weigh the same, one matrix product for each output, so that
    a member's isn't rounded otherwise where it has other batch-mates.
    """
    different, which = torch.unique(row_weights, dim=0, return_inverse=True)
    total = features.new_zeros(())
    for output in range(features.shape[2]):
        of_output = features[:, :, output]
        grams = torch.stack([(of_output * row) @ of_output.mT for row in different])
        total = total + curvature[:, output, None, None] * grams[which]
    return total


def slope_of_weights(features: Tensor, slope: Tensor, row_weights: Tensor) -> Tensor:
    """Φ ∇_f log p of every member, (m, n), for slopes (m, rows, out); a product for each, for the same reason."""
    flat = features.flatten(1)
    return torch.stack([flat @ row for row in (slope * row_weights.unsqueeze(2)).flatten(1)])


def output_without_weights(bound: Bound, blocks: Sequence[Sequence[FunctionBlock]], x: Tensor) -> Tensor:
    """f at w = 0, (rows, *out_shape): what functions without weights alone make."""
    without = [[block for block in row if block.group is None] for row in blocks]
    return fixed_values(bound.population.layout, without, OUTPUT, x)


def slope_and_curvature(
    bound: Bound, parameters: Parameters, members: Tensor, y: Tensor, f: Tensor
) -> tuple[Tensor, Tensor]:
    """∇_f log p(y | f) at f (rows, …), (m, rows, out), and −∂² log p / ∂f² averaged over rows, (m, out).

    Both are flat over the output's axes.
    """
    likelihood = bound.likelihoods[int(members[0])]
    own = {name: value[members] for name, value in bound.likelihood_parameters(parameters).items()}
    f = f.expand(len(members), *f.shape)

    def total(own_of_member: Mapping[str, Tensor], value: Tensor) -> Tensor:
        return likelihood.log_prob(dict(own_of_member), y, value).sum()

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
