"""The learned hyperparameters of a model that is linear in its weights, at a maximum of L over them and q together.

They are the likelihood's own parameters and, where h rises with θ, the log precisions of the prior. The function that
rises is L maximised over q, whose gradient by a hyperparameter is that of L at this q (Danskin's theorem), by the BFGS
method with steps that are halved until it rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..objective.weights_prior import log_inverse_gamma
from ..plugins import InverseGamma
from .linear_family import LinearFamily
from .linear_model import Gaussian, LinearModel, Own
from .linear_optimum import MOST_HALVINGS, Objective, best_gaussian, enough

MOST_STEPS = 60
"""Steps of an ascent at most."""

LONGEST = 4.0
"""Change of a hyperparameter in one step at most: they are logarithms."""

FARTHEST = 23.0
"""Change of a parameter of the likelihood at most, from what suits f = b: of a noise, ten powers of ten."""

TO_GAIN = 1e-7
"""Nats still to gain, by the quadratic model, at which the search ends."""


@dataclass(frozen=True)
class LinearFit:
    """q(w), the likelihood's own parameters, log precisions of the prior (p,), and the objective there."""

    q: Gaussian
    own: Own
    log_precisions: Tensor
    value: float


@dataclass(frozen=True)
class LinearProblem:
    """A member: its model, which weights are `kept` (n,), the factor c of the KL, and the family of q.

    Weight i has the log precision of number `owner` (n,). With `c_train` they rise with θ, on L + log p(h) / c_train;
    `learns_own` says whether the likelihood's own parameters do.
    """

    model: LinearModel
    kept: Tensor
    c: float
    family: LinearFamily
    owner: Tensor
    c_train: float | None
    hyperprior: InverseGamma | None
    learns_own: bool

    def objective(self, own: Own, log_precisions: Tensor) -> Objective:
        """L as a function of q."""
        return Objective(self.model, own, log_precisions[self.owner], self.kept, self.c, self.family)

    def fit(self, q: Gaussian, own: Own, log_precisions: Tensor) -> LinearFit:
        """A q with hyperparameters, and the objective there."""
        value = self.objective(own, log_precisions)(q) + float(self.log_hyperprior(log_precisions))
        return LinearFit(q, own, log_precisions, value if math.isfinite(value) else -math.inf)

    def best_q(self, own: Own, log_precisions: Tensor, start: Gaussian | None = None) -> LinearFit:
        """The best q at given hyperparameters."""
        return self.fit(best_gaussian(self.objective(own, log_precisions), start), own, log_precisions)

    def at(self, fit: LinearFit, vector: Tensor) -> LinearFit:
        """The best q at hyperparameters as `vector_of` lays them out, from that of a fit near by."""
        own, begin = {}, 0
        for name, value in fit.own.items():
            own[name] = vector[begin : begin + value.numel()].reshape(value.shape)
            begin += value.numel()
        return self.best_q(own, vector[begin:], fit.q)

    def log_hyperprior(self, log_precisions: Tensor) -> Tensor:
        """log p(h) / c_train; 0 where h stays where it is, or has no prior."""
        if self.c_train is None or self.hyperprior is None:
            return log_precisions.new_zeros(())
        return log_inverse_gamma(log_precisions, self.hyperprior).sum() / self.c_train

    @property
    def moves_precisions(self) -> bool:
        """Whether log precisions are searched for."""
        return self.c_train is not None and self.model.size > 0

    def gradient(self, fit: LinearFit) -> Tensor:
        """∇ of the objective at fixed q by the hyperparameters as `vector_of` lays them out, 0 by those that stay."""
        own = {name: value.detach().clone().requires_grad_() for name, value in fit.own.items()}
        at = fit.log_precisions.detach().clone().requires_grad_()
        spread = self.model.output_spread(fit.q)
        with torch.enable_grad():
            total = torch.zeros_like(at).sum()
            if self.learns_own:
                total = total + self.model.total(own, self.model.output(fit.q.mean), spread)
            if self.moves_precisions:
                total = total + self.log_hyperprior(at) - self.c * self.objective(fit.own, at).divergence(fit.q)
            found = torch.autograd.grad(total, [*own.values(), at], materialize_grads=True, allow_unused=True)
        return torch.cat([value.flatten() for value in found])

    def scales(self, fit: LinearFit) -> Tensor:
        """Inverse curvatures to begin with: of the logarithm of a noise 1 / 2N, of log A of n weights 2 / (c n).

        0 of what doesn't move.
        """
        own = [torch.full_like(value.flatten(), 0.5 / float(self.model.counts.sum())) for value in fit.own.values()]
        if not self.moves_precisions:
            return torch.cat([*own, torch.zeros_like(fit.log_precisions)])
        number = torch.zeros_like(fit.log_precisions).index_add(0, self.owner, torch.ones_like(self.kept))
        return torch.cat([*own, 2 / (self.c * number.clamp(min=1))])


def vector_of(fit: LinearFit) -> Tensor:
    """The likelihood's own parameters and the log precisions as one vector."""
    return torch.cat([*(value.flatten() for value in fit.own.values()), fit.log_precisions])


def around(fit: LinearFit) -> Tensor:
    """Limits (2, …) of a vector of hyperparameters: own parameters within `FARTHEST`, log precisions anywhere."""
    width = vector_of(fit).new_full((len(vector_of(fit)),), math.inf)
    width[: len(width) - len(fit.log_precisions)] = FARTHEST
    return torch.stack([vector_of(fit) - width, vector_of(fit) + width])


def ascend(problem: LinearProblem, fit: LinearFit, steps: int, limits: Tensor) -> LinearFit:
    """BFGS steps of the hyperparameters, each with the best q for them, until nothing is left to gain."""
    vector, gradient = vector_of(fit), problem.gradient(fit)
    inverse = torch.diag(problem.scales(fit))
    for _ in range(steps):
        stopped = pressed(vector, gradient, limits)
        free = torch.where(stopped, 0.0, gradient)
        direction = torch.where(stopped, 0.0, inverse @ free)
        slope = float(direction @ free)
        if not math.isfinite(slope) or 0.5 * slope <= TO_GAIN + enough(fit.value):
            break
        direction = direction * min(1.0, LONGEST / float(direction.abs().max()))
        found = risen(problem, fit, vector, direction, slope, limits)
        if found is None:
            break
        moved, change = vector_of(found) - vector, problem.gradient(found) - gradient
        inverse = updated(inverse, moved, -change)
        fit, vector, gradient = found, vector + moved, gradient + change
    return fit


def pressed(vector: Tensor, gradient: Tensor, limits: Tensor) -> Tensor:
    """Which hyperparameters are at a limit that the gradient points beyond."""
    return ((vector <= limits[0]) & (gradient < 0)) | ((vector >= limits[1]) & (gradient > 0))


def within(vector: Tensor, limits: Tensor) -> Tensor:
    """The nearest vector within limits."""
    return torch.minimum(torch.maximum(vector, limits[0]), limits[1])


def risen(
    problem: LinearProblem, fit: LinearFit, vector: Tensor, direction: Tensor, slope: float, limits: Tensor
) -> LinearFit | None:
    """The fit after the longest step, halved from 1, that raises the objective; None where none does."""
    share = 1.0
    for _ in range(MOST_HALVINGS):
        found = problem.at(fit, within(vector + share * direction, limits))
        if found.value > fit.value and found.value >= fit.value + 1e-4 * share * min(slope, 1.0):
            return found
        share /= 2
        if share * slope <= enough(fit.value):
            return None
    return None


def updated(inverse: Tensor, moved: Tensor, change: Tensor) -> Tensor:
    """The BFGS update of an inverse curvature, from a step and the change of the gradient of what falls.

    Where the step found no curvature, or a negative one, the next ones are ten times as long.
    """
    product = float(moved @ change)
    if not product > 1e-12 * float(moved.norm() * change.norm()):
        return 10 * inverse
    left = torch.eye(len(moved), dtype=moved.dtype, device=moved.device) - torch.outer(moved, change) / product
    return left @ inverse @ left.mT + torch.outer(moved, moved) / product
