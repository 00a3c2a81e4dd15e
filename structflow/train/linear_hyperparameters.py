"""The learned hyperparameters of a model that is linear in its weights, at a maximum of L over them and q together.

They are the likelihood's own parameters and, where h rises with θ, the log precisions of the prior. The function that
rises is L maximised over q, whose gradient by a hyperparameter is that of L at this q (Danskin's theorem), by the BFGS
method with steps that are halved until it rises. As it may have several maxima (little noise and a weak prior, much
noise and a strong one), the search begins at the best of some precisions, set against what the data say of a weight.
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
FIRST_STEPS = 3
"""Steps of the ascent at most, and those that the candidates of its start are compared after."""

LONGEST = 4.0
"""Change of a hyperparameter in one step at most: they are logarithms."""

FARTHEST = 23.0
"""Change of a parameter of the likelihood at most, from what suits f = b: of a noise, ten powers of ten."""

RATIOS = (1e-4, 1e-1, 1e2)
"""Precisions of the prior, in parts of the mean precision that the data give a weight, that the search may begin at."""

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


def best_fit(problem: LinearProblem, given: LinearFit) -> LinearFit:
    """The best fit that is found from the hyperparameters of the `given` one and others."""
    if not problem.learns_own and not problem.moves_precisions:
        return problem.best_q(given.own, given.log_precisions)
    own, limits = given.own, around(given)
    candidates = [(own, given.log_precisions)]
    if problem.learns_own:
        own = suited_to_offset(problem, given)
        limits = around(LinearFit(given.q, own, given.log_precisions, 0.0))
        candidates.append((own, given.log_precisions))
    if problem.moves_precisions:
        candidates += [(own, start) for start in starting_precisions(problem, own, given.log_precisions)]
    starts = [problem.best_q(*candidate) for candidate in candidates]
    reached = [ascend(problem, start, FIRST_STEPS, limits) for start in starts if math.isfinite(start.value)]
    if not reached:
        return given
    return ascend(problem, max(reached, key=lambda fit: fit.value), MOST_STEPS, limits)


def around(fit: LinearFit) -> Tensor:
    """Limits (2, …) of a vector of hyperparameters: own parameters within `FARTHEST`, log precisions anywhere."""
    width = vector_of(fit).new_full((len(vector_of(fit)),), math.inf)
    width[: len(width) - len(fit.log_precisions)] = FARTHEST
    return torch.stack([vector_of(fit) - width, vector_of(fit) + width])


def suited_to_offset(problem: LinearProblem, given: LinearFit) -> Own:
    """The likelihood's own parameters that suit f = b best, as for a model whose weights are all 0."""
    model = problem.model
    empty = LinearModel(model.likelihood, model.features[:0], model.offset, model.y, model.counts)
    alone = LinearProblem(
        empty, problem.kept[:0], problem.c, problem.family, problem.owner[:0], None, None, problem.learns_own
    )
    start = alone.best_q(given.own, given.log_precisions)
    return ascend(alone, start, MOST_STEPS, around(start)).own if math.isfinite(start.value) else given.own


def starting_precisions(problem: LinearProblem, own: Own, given: Tensor) -> list[Tensor]:
    """Log precisions at `RATIOS` of the mean of diag Φ C Φᵀ / c over the weights of each, with C at f = b."""
    model = problem.model
    slopes = model.slopes(own, model.offset, None)
    of_weights = model.diagonal_curvature(slopes.curvature) / problem.c
    numbers = torch.zeros_like(given).index_add(0, problem.owner, torch.ones_like(of_weights))
    mean = torch.zeros_like(given).index_add(0, problem.owner, of_weights) / numbers
    usable = mean.isfinite() & (mean > 0)
    return [torch.where(usable, (ratio * mean).log(), given) for ratio in RATIOS]


def ascend(problem: LinearProblem, fit: LinearFit, steps: int, limits: Tensor) -> LinearFit:
    """BFGS steps of the hyperparameters, each with the best q for them, until nothing is left to gain."""
    vector, gradient = vector_of(fit), problem.gradient(fit)
    inverse = torch.diag(problem.scales(fit))
    for _ in range(steps):
        pressed = ((vector <= limits[0]) & (gradient < 0)) | ((vector >= limits[1]) & (gradient > 0))
        free = torch.where(pressed, 0.0, gradient)
        direction = torch.where(pressed, 0.0, inverse @ free)
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


def risen(
    problem: LinearProblem, fit: LinearFit, vector: Tensor, direction: Tensor, slope: float, limits: Tensor
) -> LinearFit | None:
    """The fit after the longest step, halved from 1, that raises the objective; None where none does."""
    share = 1.0
    for _ in range(MOST_HALVINGS):
        moved = torch.minimum(torch.maximum(vector + share * direction, limits[0]), limits[1])
        own, begin = {}, 0
        for name, value in fit.own.items():
            own[name] = moved[begin : begin + value.numel()].reshape(value.shape)
            begin += value.numel()
        found = problem.best_q(own, moved[begin:], fit.q)
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
