"""One linear structure as a function of q(w): the expectation of log p(y | f) and its derivatives by the output.

With f_i = b_i + Φ_iᵀw and q(w) = N(μ, Σ) the output of row i is normal, f_i ~ N(b_i + Φ_iᵀμ, Φ_iᵀΣΦ_i), so that the
expectation is an integral over one row's outputs. Its derivatives by their mean are g_i = E ∇_f log p and
−C_i = E ∇²_f log p (Bonnet's and Price's theorems), exact by automatic differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ..objective.guarded_likelihood import GuardedLikelihood
from ..objective.parameters import Named

QUADRATURE_END = 7.5
QUADRATURE_POINTS = 61
"""The trapezoidal rule for one output: its points, evenly over ± so many standard deviations."""

MOST_POINTS = 512
"""Points of a rule for several outputs at most."""

HERMITE_OUTPUTS = 3
"""Outputs up to which the rule for several is a product of those for one; beyond, it is quasi-random."""

Own = Mapping[str, Tensor]
"""The likelihood's own parameters by name."""


@dataclass(frozen=True)
class Gaussian:
    """q(w) = N(μ, Σ): `mean` (n,), and `spread`: √α (n,) of Σ = diag α, L (n, n) of Σ = L Lᵀ, or None for a point.

    `held` are the parameters of each of its factors that Σ follows from.
    """

    mean: Tensor
    spread: Tensor | None
    held: tuple[Named, ...] = ()

    def at(self, mean: Tensor) -> Gaussian:
        """The same around another mean."""
        return replace(self, mean=mean)

    @property
    def variances(self) -> Tensor:
        """The diagonal of Σ, (n,)."""
        if self.spread is None:
            return torch.zeros_like(self.mean)
        return self.spread.square() if self.spread.ndim == 1 else self.spread.square().sum(1)


@dataclass(frozen=True)
class Slopes:
    """g (rows, out) and C (rows, out, out) at some q, times what each row counts; C without negative eigenvalues."""

    gradient: Tensor
    curvature: Tensor


@dataclass(frozen=True)
class LinearModel:
    """Features Φ (n, rows, out), what is added to Φᵀw as `offset` b (rows, *out_shape), and targets y (rows, …).

    Each row counts `counts` (rows,) times; out is the product of out_shape.
    """

    likelihood: GuardedLikelihood
    features: Tensor
    offset: Tensor
    y: Tensor
    counts: Tensor
    grams: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number n of weights."""
        return len(self.features)

    def output(self, mean: Tensor) -> Tensor:
        """b + Φᵀμ, (rows, *out_shape)."""
        return self.offset + (mean @ self.features.flatten(1)).reshape(self.offset.shape)

    def output_spread(self, q: Gaussian) -> Tensor | None:
        """How far outputs spread under q; None for a point.

        For a likelihood in closed form variances (rows, out), else S (rows, out, out) with S Sᵀ = Φ_iᵀΣΦ_i.
        """
        if q.spread is None or not self.size:
            return None
        if q.spread.ndim == 1:
            scaled = self.features * q.spread[:, None, None]
        else:
            scaled = (q.spread.mT @ self.features.flatten(1)).reshape(self.features.shape)
        if self.likelihood.closed_form:
            return scaled.square().sum(0)
        if scaled.shape[2] == 1:
            return scaled.square().sum(0).sqrt().unsqueeze(2)
        return square_root(torch.einsum("nro,nrp->rop", scaled, scaled))

    def expectation(self, own: Own, output: Tensor, spread: Tensor | None) -> Tensor:
        """E log p(y_i | f_i) for f_i normal around `output` (rows, *out_shape) with `output_spread`, (rows,)."""
        likelihood, parameters = self.likelihood, dict(own)
        if likelihood.closed_form:
            variance = torch.zeros_like(output) if spread is None else spread.reshape(output.shape)
            return likelihood.expected_log_prob(parameters, self.y, output, variance)
        if spread is None:
            return likelihood.log_prob(parameters, self.y, output)
        points, weights = rule(spread.shape[1])
        points, weights = points.to(output.device), weights.to(output.device)
        shifts = torch.einsum("rop,sp->sro", spread, points).reshape(len(points), *output.shape)
        by_point = vmap(likelihood.log_prob, (None, None, 0))(parameters, self.y, output + shifts)
        return weights @ by_point

    def total(self, own: Own, output: Tensor, spread: Tensor | None) -> Tensor:
        """Σ_i counts_i E log p(y_i | f_i)."""
        used = self.counts > 0
        return torch.where(used, self.counts * self.expectation(own, output, spread), 0.0).sum()

    def slopes(self, own: Own, output: Tensor, spread: Tensor | None) -> Slopes:
        """g and C at outputs."""
        own = {name: value.detach() for name, value in own.items()}
        with torch.enable_grad():
            at = output.detach().clone().requires_grad_()
            gradient = derivative(self.total(own, at, spread), at).flatten(1)
            columns = [-derivative(gradient[:, o].sum(), at).flatten(1).detach() for o in range(gradient.shape[1])]
        return Slopes(gradient.detach(), without_negative(torch.stack(columns, dim=2)))

    def of_weights(self, output_values: Tensor) -> Tensor:
        """Φ v of values (rows, out), (n,)."""
        return self.features.flatten(1) @ output_values.flatten()

    def curvature(self, curvature: Tensor) -> Tensor:
        """Φ C Φᵀ, (n, n), for C (rows, out, out).

        Of one output whose C is the same for rows that count the same, it is a multiple of one matrix.
        """
        features = self.features.flatten(1)
        multiple = self.multiple_of_counts(curvature)
        if multiple is not None:
            if "counted" not in self.grams:
                self.grams["counted"] = (features * self.counts) @ features.mT
            return multiple * self.grams["counted"]
        if curvature.shape[1] == 1:
            return (features * curvature.flatten()) @ features.mT
        weighed = torch.einsum("rop,nrp->nro", curvature, self.features).flatten(1)
        return weighed @ features.mT

    def multiple_of_counts(self, curvature: Tensor) -> Tensor | None:
        """C / counts of one output where it is the same for all rows."""
        if curvature.shape[1] > 1:
            return None
        ratio = torch.where(self.counts > 0, curvature.flatten() / self.counts, 0.0)
        largest = ratio.max()
        return largest if bool((ratio[self.counts > 0] == largest).all()) else None

    def least_squares(self, curvature: Tensor, gradient: Tensor) -> Tensor:
        """The shortest v with Φ C Φᵀ v = `gradient` (n,), as far as there is one, from the singular values of Φ C^½.

        Lengths are of v ∘ d with d² the diagonal of Φ C Φᵀ, so that units of the features don't matter. Φ C Φᵀ, whose
        condition number is a square, isn't formed. NaN where C isn't finite.
        """
        if not bool(curvature.isfinite().all()):
            return torch.full_like(gradient, math.nan)
        multiple = self.multiple_of_counts(curvature)
        if multiple is None:
            return shortest(self._decomposed(square_root(curvature)), gradient)
        if "left" not in self.grams:  # one decomposition serves every noise
            root = self.counts.sqrt().reshape(-1, 1, 1)
            self.grams["left"], self.grams["size"], self.grams["inverse"] = self._decomposed(root)
        known = (self.grams["left"], self.grams["size"], self.grams["inverse"])
        return shortest(known, gradient) / multiple

    def _decomposed(self, root: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """U (n, k), d (n,) and 1/s² (k,) of Φ C^½ = d ∘ U S Vᵀ; 0 for those s that are rounding."""
        weighed = torch.einsum("nro,rop->nrp", self.features, root).flatten(1)
        size = weighed.norm(dim=1)
        size = torch.where(size > 0, size, 1.0)
        left, values, _ = torch.linalg.svd(weighed / size.unsqueeze(1), full_matrices=False)
        least = torch.finfo(values.dtype).eps * max(weighed.shape) * values.amax()
        return left, size, torch.where(values > least, values.pow(-2), 0.0)

    def diagonal_curvature(self, curvature: Tensor) -> Tensor:
        """The diagonal of Φ C Φᵀ, (n,)."""
        if curvature.shape[1] == 1:
            return (self.features.square().squeeze(2) * curvature.flatten()).sum(1)
        return (torch.einsum("rop,nrp->nro", curvature, self.features) * self.features).sum((1, 2))


def shortest(decomposed: tuple[Tensor, Tensor, Tensor], gradient: Tensor) -> Tensor:
    """The shortest solution by a decomposition U, d, 1/s² of Φ C^½."""
    left, size, inverse = decomposed
    return (left @ (inverse * (left.mT @ (gradient / size)))) / size


def derivative(value: Tensor, by: Tensor) -> Tensor:
    """∇ of a number, differentiable again; 0 where it doesn't depend on `by`."""
    if not value.requires_grad:
        return torch.zeros_like(by)
    (found,) = torch.autograd.grad(value, by, create_graph=True, allow_unused=True)
    return torch.zeros_like(by) if found is None else found


def without_negative(matrices: Tensor) -> Tensor:
    """Symmetric matrices (rows, k, k) with negative eigenvalues, which no log-concave likelihood has, set to 0."""
    if matrices.shape[1] == 1 or not bool(matrices.isfinite().all()):
        return matrices.clamp(min=0)
    own = matrices.diagonal(dim1=1, dim2=2)
    if bool((matrices == torch.diag_embed(own)).all()):
        return torch.diag_embed(own.clamp(min=0))
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    restored: Tensor = (vectors * values.clamp(min=0).unsqueeze(1)) @ vectors.mT
    return restored


def square_root(matrices: Tensor) -> Tensor:
    """S with S Sᵀ = V for positive semidefinite V (rows, k, k)."""
    values, vectors = torch.linalg.eigh(torch.where(matrices.isfinite(), matrices, 0.0))
    root: Tensor = vectors * values.clamp(min=0).sqrt().unsqueeze(1)
    return root


@cache
def rule(outputs: int) -> tuple[Tensor, Tensor]:
    """Points (S, outputs) and weights (S,) of a rule for expectations under a standard normal distribution.

    For one output the trapezoidal rule, which for smooth functions of a normal variable converges faster than any power
    of its step; for a few products of Gauss and Hermite's; for more a scrambled Sobol sequence and its mirror image.
    """
    if outputs == 1:
        points = torch.linspace(-QUADRATURE_END, QUADRATURE_END, QUADRATURE_POINTS, dtype=torch.float64)
        density = (-0.5 * points.square()).exp()
        return points.unsqueeze(1), density / density.sum()
    if outputs <= HERMITE_OUTPUTS:
        nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(round(MOST_POINTS ** (1 / outputs))))
        grid = torch.cartesian_prod(*[nodes] * outputs)
        products = torch.cartesian_prod(*[weights / weights.sum()] * outputs).prod(1)
        return grid, products
    sobol = torch.quasirandom.SobolEngine(outputs, scramble=True, seed=0)
    uniform = sobol.draw(MOST_POINTS // 2, dtype=torch.float64)
    half = math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-12, 1 - 1e-12))
    points = torch.cat([half, -half])
    return points, torch.full((len(points),), 1 / len(points), dtype=torch.float64)


def points_of(likelihood: GuardedLikelihood, outputs: int) -> int:
    """Points of the rule that expectations of a likelihood take."""
    return 1 if likelihood.closed_form else len(rule(outputs)[0])
