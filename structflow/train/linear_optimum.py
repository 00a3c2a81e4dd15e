"""The q(w) that maximises L of a model that is linear in its weights, at given hyperparameters, in float64.

    L(q) = Σ_i E_q log p(y_i | f_i) − c · KL(q ‖ N(0, A⁻¹))

has at its maximum, with g and C of `LinearModel`, Φ g = c A μ, and q is the nearest of its family to the normal
distribution of precision H = Φ C Φᵀ / c + A: that itself for a full covariance, that of the diagonal of H
for a diagonal one. The mode of the penalised likelihood (Σ = 0) is found by damped Newton steps; from there H and μ are
iterated, each step one that raises L itself. For a quadratic log likelihood the first step is exact. With c = 0 the
mean is that of maximum likelihood, and its steps are of least squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions.cholesky import lower_factor
from .linear_family import LinearFamily
from .linear_model import Gaussian, LinearModel, Own, Slopes

MOST_STEPS = 200
"""Newton steps at most."""

MOST_HALVINGS = 60
"""Halvings of a step, or of a spread, at most."""

ENOUGH = 1e-9
ROUNDING = 1e-14
"""A step whose gain is below so many nats, or below this share of the objective, is the last."""

LEAST_FACTOR = 1e-6
"""The factor of what the spread of q adds to the KL, in place of a smaller c, under which q would have no spread."""

NO_PENALTY = 1e-12
"""c below which the prior has no part in the steps of μ (in L it has)."""


@dataclass(frozen=True)
class Objective:
    """L of a model as a function of q, with log A (n,) in `log_precision` and c ≥ 0.

    Weights where `kept` (n,) is 0 have no part in it.
    """

    model: LinearModel
    own: Own
    log_precision: Tensor
    kept: Tensor
    c: float
    family: LinearFamily

    @property
    def precision(self) -> Tensor:
        """A, (n,)."""
        return self.log_precision.exp()

    @property
    def c_of_spread(self) -> float:
        """The factor of what the spread of q adds to the KL: c, or a little more where q would have no spread."""
        return max(self.c, LEAST_FACTOR)

    def divergence(self, q: Gaussian) -> Tensor:
        """KL(q ‖ p), or −log p(w) of a point."""
        of_mean, of_spread = self._divergences(q)
        return of_mean + of_spread

    def penalty(self, q: Gaussian) -> Tensor:
        """c · KL(q ‖ p), or −c · log p(w) of a point; what the spread of q adds to it counts `c_of_spread` times."""
        of_mean, of_spread = self._divergences(q)
        return self.c * of_mean + (self.c if q.spread is None else self.c_of_spread) * of_spread

    def _divergences(self, q: Gaussian) -> tuple[Tensor, Tensor]:
        """½ Σ A μ², and the rest of the divergence."""
        if q.spread is None:
            terms = math.log(2 * math.pi) - self.log_precision
        else:
            log_sd = (q.spread if q.spread.ndim == 1 else q.spread.diagonal()).log()
            terms = self.precision * q.variances - 1 - self.log_precision - 2 * log_sd
        return 0.5 * (self.precision * q.mean.square() * self.kept).sum(), 0.5 * (terms * self.kept).sum()

    def __call__(self, q: Gaussian) -> float:
        """L; −∞ where it isn't finite."""
        with torch.no_grad():
            likelihood = self.model.total(self.own, self.model.output(q.mean), self.model.output_spread(q))
            value = float(likelihood - self.penalty(q))
        return value if math.isfinite(value) else -math.inf

    def slopes(self, q: Gaussian) -> Slopes:
        """g and C at q."""
        return self.model.slopes(self.own, self.model.output(q.mean), self.model.output_spread(q))

    def gradient(self, q: Gaussian, slopes: Slopes) -> Tensor:
        """∂L/∂μ = Φ g − c A μ, (n,)."""
        return self.model.of_weights(slopes.gradient) - self.c * self.precision * q.mean

    def newton(self, q: Gaussian, slopes: Slopes) -> Tensor:
        """The Newton step of μ, H⁻¹ ∂L/∂μ / c; without a penalty the shortest one, (Φ C Φᵀ)⁺ ∂L/∂μ.

        With more weights than numbers of output, by A⁻¹ Φ (1 + C Φᵀ A⁻¹ Φ / c)⁻¹ in place of H⁻¹ Φ.
        """
        if self.c < NO_PENALTY:
            return self.model.least_squares(slopes.curvature, self.gradient(q, slopes))
        outputs = slopes.gradient.numel()
        if not self.family.independent or self.model.size <= outputs:
            factor = lower_factor(self.model.curvature(slopes.curvature) / self.c + torch.diag(self.precision))
            return torch.cholesky_solve(self.gradient(q, slopes).unsqueeze(1) / self.c, factor).squeeze(1)
        features = self.model.features.flatten(1)
        scaled = features / self.precision.unsqueeze(1)
        rows, width = slopes.gradient.shape
        kernel = (features.mT @ scaled).reshape(rows, width, outputs)
        system = torch.einsum("rop,rpk->rok", slopes.curvature, kernel).reshape(outputs, outputs) / self.c
        fitted = (q.mean @ features).reshape(rows, width, 1)
        right = (slopes.gradient + (slopes.curvature @ fitted).squeeze(2)).flatten() / self.c
        identity = torch.eye(outputs, dtype=system.dtype, device=system.device)
        solution, failed = torch.linalg.solve_ex(identity + system, right)
        return scaled @ solution - q.mean if int(failed) == 0 else torch.full_like(q.mean, math.nan)

    def weight_precision(self, slopes: Slopes) -> Tensor:
        """H at `c_of_spread`, (n, n)."""
        return self.model.curvature(slopes.curvature) / self.c_of_spread + torch.diag(self.precision)

    def precision_of(self, slopes: Slopes) -> Tensor:
        """The precision of the q of the family that is nearest to H: the diagonal (n,) of independent weights."""
        if self.family.independent:
            return self.model.diagonal_curvature(slopes.curvature) / self.c_of_spread + self.precision
        precision = self.weight_precision(slopes)
        if self.family.unrestricted or not bool(precision.isfinite().all()):
            return precision
        return precision_from(self.family.nearest(torch.zeros_like(self.log_precision), precision))


def best_gaussian(objective: Objective, start: Gaussian | None = None) -> Gaussian:
    """The q of the objective's family at a maximum of L, from `start`, by default from the mode."""
    if not objective.family.has_density or not objective.model.size:
        return mode(objective, start)
    if start is None:
        point = mode(objective)
        precision = objective.precision_of(objective.slopes(point))
        q = narrowed(objective, point.mean, precision)
    else:
        q = start
    return fixed_point(objective, q)


def mode(objective: Objective, start: Gaussian | None = None) -> Gaussian:
    """The point that maximises L of points, by damped Newton steps from `start`, by default from w = 0."""
    q = objective.family.point(objective.log_precision.new_zeros(objective.model.size)) if start is None else start
    value = objective(q)
    for _ in range(MOST_STEPS if objective.model.size else 0):
        slopes, before = objective.slopes(q), value
        q, value = mean_step(objective, q, slopes, value, objective.newton(q, slopes))
        if not value - before > enough(value):  # also where neither is finite
            break
    return q


def narrowed(objective: Objective, mean: Tensor, precision: Tensor) -> Gaussian:
    """q of a precision, its standard deviations halved as long as that raises L: the curvature at a mode may be next to
    nothing where a little away from it the likelihood falls steeply.
    """
    q = objective.family.nearest(mean, precision)
    value = objective(q)
    for _ in range(MOST_HALVINGS):
        precision = 4 * precision
        halved = objective.family.nearest(mean, precision)
        of_halved = objective(halved)
        if math.isfinite(value) and of_halved <= value:
            break
        q, value = halved, of_halved
    return q


def fixed_point(objective: Objective, q: Gaussian) -> Gaussian:
    """Steps of μ and of the precision, together or each as far as it raises L, until they gain nothing."""
    value, precision = objective(q), precision_from(q)
    for _ in range(MOST_STEPS):
        slopes, before = objective.slopes(q), value
        step, wanted = objective.newton(q, slopes), objective.precision_of(slopes)
        if promised(objective, q, slopes, step) + changed(precision, wanted, objective.c_of_spread) <= enough(value):
            break
        both = objective.family.nearest(q.mean + step, wanted)
        of_both = objective(both)
        if of_both >= value:
            q, value, precision = both, of_both, wanted
        else:
            q, value = mean_step(objective, q, slopes, value, step)
            q, value, precision = precision_step(objective, q, value, precision, wanted)
        if not value - before > enough(value):  # also where neither is finite
            break
    return q


def promised(objective: Objective, q: Gaussian, slopes: Slopes, step: Tensor) -> float:
    """How far L rises along a step of μ, to first order."""
    return float(step @ objective.gradient(q, slopes))


def changed(precision: Tensor, wanted: Tensor, c: float) -> float:
    """About how far L rises where a precision becomes the wanted one: c/4 tr (P⁻¹P' − 1)²."""
    if precision.ndim == 1:
        ratio = wanted / precision - 1
    else:
        half = torch.cholesky_solve(wanted, lower_factor(precision))
        ratio = half - torch.eye(len(half), dtype=half.dtype, device=half.device)
    size = 0.25 * c * float((ratio * ratio.mT if ratio.ndim == 2 else ratio.square()).sum())
    return size if math.isfinite(size) else math.inf


def mean_step(objective: Objective, q: Gaussian, slopes: Slopes, value: float, step: Tensor) -> tuple[Gaussian, float]:
    """q after a Newton step of μ, halved until L rises, and its L."""
    slope = promised(objective, q, slopes, step)
    if not math.isfinite(slope) or slope <= enough(value):
        return q, value

    def moved(share: float) -> Gaussian:
        return q.at(q.mean + share * step)

    found, of_found, _ = halving(objective, moved, value, slope)
    return (q, value) if found is None else (found, of_found)


def precision_step(
    objective: Objective, q: Gaussian, value: float, precision: Tensor, wanted: Tensor
) -> tuple[Gaussian, float, Tensor]:
    """q after a step of its precision towards the wanted one, its L, and the precision."""
    if not bool(wanted.isfinite().all()):
        wanted = 4 * precision

    def moved(share: float) -> Gaussian:
        return objective.family.nearest(q.mean, precision + share * (wanted - precision))

    slope = 2 * changed(precision, wanted, objective.c_of_spread)
    if slope <= enough(value):
        return q, value, precision
    found, of_found, share = halving(objective, moved, value, min(slope, 1.0))
    return (q, value, precision) if found is None else (found, of_found, precision + share * (wanted - precision))


def halving(
    objective: Objective, moved: Callable[[float], Gaussian], value: float, slope: float
) -> tuple[Gaussian | None, float, float]:
    """The longest step, halved from 1, that raises L above `value` by a part of what the slope promises."""
    share = 1.0
    for _ in range(MOST_HALVINGS):
        found = moved(share)
        of_found = objective(found)
        if of_found > value and of_found >= value + 1e-4 * share * slope:
            return found, of_found, share
        share /= 2
        if share * slope <= enough(value):
            break
    return None, value, 0.0


def precision_from(q: Gaussian) -> Tensor:
    """The precision of a q."""
    assert q.spread is not None
    return q.spread.pow(-2) if q.spread.ndim == 1 else torch.cholesky_inverse(q.spread)


def enough(value: float) -> float:
    """The gain that isn't worth another step."""
    return ENOUGH + ROUNDING * abs(value) if math.isfinite(value) else 0.0
