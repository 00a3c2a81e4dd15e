"""The normal posterior of a model that is linear in its weights, f(x; w) = f(x; 0) + J w, with normal noise.

In coordinates z = w ∘ √A, in which the prior is N(0, I), the energy U(z) = −log p(y | z) − log p(z) is

    U(z* + δ) = U(z*) + gᵀδ + ½ δᵀ H δ,   H = I + Σ_i J_iᵀ Λ_i J_i = Rᵀ R,   Λ_i = −∂²log p(y_i | f_i)/∂f_i².

R is the triangular factor of the identity above the rows Λ_i^½ J_i, from QR decompositions: H itself, whose condition
number is the square of R's, is never formed. z* is where Newton steps −R⁻¹R⁻ᵀg from z = 0 end; only the first is long,
the others remove what rounding has left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .scaled_energy import CHUNK_NUMBERS, ScaledEnergy

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

POINTS = 8
"""Points at the width of the prior, and as many at that of the posterior, where the model is compared with J."""

NEWTON_STEPS = 8
"""Steps at most; the second one is already at the level of rounding unless R is ill-conditioned."""

ARRIVED = 1e-9
"""½ gᵀH⁻¹g in nats at which z has arrived."""

OUTPUT_TOLERANCE = 1e-11
"""Deviation of f from its linear form that rounding accounts for, as a share of the sum of |terms|."""

LIKELIHOOD_TOLERANCE = 1e-10
"""The same for log p(y_i | f_i) and its quadratic form."""

EPSILON = 1e-15
"""Relative rounding error of some operations on float64, each off by at most 1.1e-16."""


@dataclass(frozen=True)
class LinearModel:
    """The members' posteriors: z* (M, n), U(z*) and ½ gᵀH⁻¹g there (M,), R (M, n, n) upper triangular.

    The rest is right where the model `has_linear_outputs` and the noise is `normal`, (M,) each. `rounding` (M,) bounds
    to first order what rounding can change of the log evidence, in nats, and what is left of Newton's steps.
    """

    energy: ScaledEnergy
    z: Tensor
    value: Tensor
    excess: Tensor
    factor: Tensor
    has_linear_outputs: Tensor
    normal: Tensor
    rounding: Tensor

    @property
    def log_determinant(self) -> Tensor:
        """log|H|, (M,)."""
        determinant: Tensor = 2 * self.factor.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        return determinant


def linear_model(vectors: WeightVectors) -> LinearModel:
    """The posterior of every member as if it were linear in its weights with normal noise, and whether it is."""
    import torch

    scale = torch.where(vectors.used, (-0.5 * vectors.log_precision).exp(), 1.0)
    energy = ScaledEnergy(vectors, scale)
    origin = torch.zeros_like(scale)
    factor, concave = triangular_factor(energy, origin)
    z, value, excess = descended(energy, origin, factor)
    linear, normal, of_outputs = compared(energy, z, factor)
    rounding = EPSILON * (of_outputs + of_factor(factor) + value.abs()) + excess.abs()
    return LinearModel(energy, z, value, excess, factor, linear, normal & concave, rounding)


def descended(energy: ScaledEnergy, z: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z, U(z) and ½ gᵀH⁻¹g after Newton steps −H⁻¹g, each taken by the members whose U falls."""
    import torch

    value, gradient = energy.value_and_gradient(z)
    step = solved(factor, gradient)
    for _ in range(NEWTON_STEPS):
        moving = 0.5 * (gradient * step).sum(1) > ARRIVED
        if not bool(moving.any()):
            break
        new_z = z - step.where(moving.unsqueeze(1), 0.0)
        new_value, new_gradient = energy.value_and_gradient(new_z)
        lower = moving & (new_value < value)
        if not bool(lower.any()):
            break
        value = torch.where(lower, new_value, value)
        z, gradient = (torch.where(lower.unsqueeze(1), *pair) for pair in ((new_z, z), (new_gradient, gradient)))
        step = solved(factor, gradient)
    return z, value, 0.5 * (gradient * step).sum(1)


def parts_of_rows(energy: ScaledEnergy) -> Iterator[Tensor]:
    """The numbers of the training rows, so many at a time as fit, and enough to be worth a decomposition."""
    import torch

    vectors = energy.vectors
    members, size = vectors.used.shape
    rows = max(1, size, CHUNK_NUMBERS // max(1, members * size * vectors.widest))
    for begin in range(0, vectors.rows, rows):
        yield torch.arange(begin, min(begin + rows, vectors.rows), device=vectors.used.device)


def triangular_factor(energy: ScaledEnergy, z: Tensor) -> tuple[Tensor, Tensor]:
    """R with RᵀR = I + Σ_i J_iᵀ Λ_i J_i, (M, n, n), and whether no Λ_i has a negative eigenvalue, (M,)."""
    import torch

    members, size = z.shape
    factor = torch.eye(size, dtype=z.dtype, device=z.device).expand(members, size, size)
    concave = torch.ones(members, dtype=torch.bool, device=z.device)
    for rows in parts_of_rows(energy):
        values, vectors = torch.linalg.eigh(energy.output_curvature(z, rows))
        finite = values.isfinite().flatten(1).all(1)
        concave = concave & finite & (values[..., 0] >= -EPSILON * values[..., -1].abs()).all(1)
        root = values.clamp(min=0).sqrt().unsqueeze(-1) * vectors.mT
        whitened = (root @ energy.jacobian(z, rows)).flatten(1, 2)
        stacked = torch.cat([factor, whitened.nan_to_num(0.0, 0.0, 0.0)], dim=1)
        factor = torch.linalg.qr(stacked, mode="r").R
    return factor, concave


def solved(factor: Tensor, vector: Tensor) -> Tensor:
    """H⁻¹ v = R⁻¹ R⁻ᵀ v for v (M, n)."""
    import torch

    inner = torch.linalg.solve_triangular(factor.mT, vector.unsqueeze(2), upper=False)
    found: Tensor = torch.linalg.solve_triangular(factor, inner, upper=True).squeeze(2)
    return found


def of_factor(factor: Tensor) -> Tensor:
    """Σ_j ‖R e_j‖ ‖e_jᵀ R⁻¹‖, (M,): what log|R| changes by, over ε, where columns of R change by ε of their length."""
    import torch

    identity = torch.eye(factor.shape[1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=True)
    sensitivity: Tensor = (factor.norm(dim=1) * inverse.norm(dim=2)).sum(1)
    return sensitivity


def moves(energy: ScaledEnergy, z: Tensor, factor: Tensor) -> Tensor:
    """Where the model is compared: z* + δ for normal δ of the prior's width and of the posterior's, and z = 0."""
    import torch

    noise = energy.vectors.normals(2 * POINTS, "exact")
    narrow = torch.linalg.solve_triangular(factor, noise[:, POINTS:].mT, upper=True).mT
    narrow = narrow.where(energy.vectors.used.unsqueeze(1), 0.0)
    return torch.cat([noise[:, :POINTS], narrow, -z.unsqueeze(1)], dim=1)


def compared(energy: ScaledEnergy, z: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether f is linear, and log p(y | f) quadratic, between z* and the points of `moves`, (M,) each.

    For every row, beside what rounding explains: |f(z* + δ) − f(z*) − J δ| is compared with |f| + Σ_j |J_j δ_j|, and
    |ℓ(f + e) − ℓ(f) − ℓ'ᵀe + ½ eᵀΛe| with the sum of these terms and what rounding of f does to them. The third result
    is the sum over rows of |ℓ'| (|f| + Σ_j |J_j z_j|), (M,), by which rounding of f counts in U(z*).
    """
    import torch

    vectors = energy.vectors
    away = moves(energy, z, factor)
    linear = torch.ones(len(z), dtype=torch.bool, device=z.device)
    quadratic, rounding = linear, torch.zeros_like(z[:, 0])
    for rows in parts_of_rows(energy):
        at = vectors.outputs((energy.scale * z).unsqueeze(1), rows)
        moved = vectors.outputs(energy.scale.unsqueeze(1) * (z.unsqueeze(1) + away), rows)
        f, shape = at.flatten(3), at.shape[3:]
        jacobian, curvature = energy.jacobian(z, rows), energy.output_curvature(z, rows)
        e = torch.einsum("mron,msn->msro", jacobian, away)
        size = f.abs() + torch.einsum("mron,msn->msro", jacobian.abs(), away.abs() + z.abs().unsqueeze(1))
        off = (moved.flatten(3) - f - e).abs()
        linear = linear & (off <= OUTPUT_TOLERANCE * size).flatten(1).all(1)

        slope = output_slope(energy, at, rows).flatten(3)
        bent = torch.einsum("mrop,msrp->msro", curvature, e)
        first, second = (slope * e).sum(-1), 0.5 * (bent * e).sum(-1)
        before = vectors.row_log_likelihood(at, rows)
        after = vectors.row_log_likelihood(at + e.unflatten(3, shape), rows)
        terms = before.abs() + first.abs() + second.abs()
        allowed = LIKELIHOOD_TOLERANCE * terms + OUTPUT_TOLERANCE * (size * (slope.abs() + bent.abs())).sum(-1)
        deviation = (after - before - first + second).abs()
        quadratic = quadratic & (deviation <= allowed).flatten(1).all(1)

        at_mode = f.squeeze(1).abs() + torch.einsum("mron,mn->mro", jacobian.abs(), z.abs())
        rounding = rounding + (slope.squeeze(1).abs() * at_mode).flatten(1).sum(1)
    return linear, quadratic, rounding


def output_slope(energy: ScaledEnergy, outputs: Tensor, rows: Tensor) -> Tensor:
    """∂ log p(y_i | f_i)/∂f_i at the outputs (M, 1, rows, …), of their shape."""
    import torch

    slope: Tensor = torch.func.grad(lambda f: energy.vectors.row_log_likelihood(f, rows).sum())(outputs)
    return slope
