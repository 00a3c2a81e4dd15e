"""Predictions of trained members: moments of y, its log predictive density, and where y stands in its distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from ..distributions.normal import HALF_LOG_TWO_PI
from .predictive_cdf import Standing, drawn_standing, exact_standing
from .trained import TrainedPopulation

MOST_PREDICTED_ROWS = 20_000
"""Rows that are predicted at a time."""


@dataclass(frozen=True)
class Prediction:
    """For every member: mean and variance of y (M, rows, …), and log p(y) of given targets (M, rows) or None.

    `below` and `equal` are P(Y < y) and P(Y = y) under the predictive distribution, (M, rows, targets), if asked for.
    """

    mean: Tensor
    variance: Tensor
    log_prob: Tensor | None
    below: Tensor | None = None
    equal: Tensor | None = None


def predict(
    trained: TrainedPopulation, x: Tensor, y: Tensor | None, samples: int, standing: str | None = None
) -> Prediction:
    """Average over `samples` of q: E y, Var y (law of total variance), log (1/S) Σ_s p(y | f_s) for each row.

    `trained` must have a bound that samples all weights; `x` (rows, *input_shape) and `y` (rows, …) are prepared as
    the training data was, and so is the result. `standing` asks for `below` and `equal`, of continuous targets and
    counts, and names the noise of the draws where they rest on draws: rank r of y among S draws, e of them equal to
    it, gives r/(S + 1) and (e + 1)/(S + 1).
    """
    bound = trained.bound
    likelihood = bound.likelihood
    if has_closed_form(trained):
        return predict_linear(trained, x, y, standing is not None)
    own = trained.parameters.theta.likelihood
    moments = vmap(vmap(likelihood.moments, (None, 0)), (0, 0))
    log_prob = vmap(vmap(likelihood.log_prob, (None, None, 0)), (0, None, 0))
    ranked = standing is not None and likelihood.has_own_draw
    mean = square = variance = log_sum = below = equal = None
    drawn = 0
    with torch.no_grad():
        # Where nothing of q is random, one sample is the average; draws of y would still differ.
        for output in trained.outputs(x, 1 if trained.is_exact and not ranked else samples, "predict"):
            means, variances = moments(own, output.mean)
            if y is not None:
                part = log_prob(own, y, output.mean).logsumexp(1)
                log_sum = part if log_sum is None else torch.logaddexp(log_sum, part)
            if y is not None and standing is not None:
                found: Standing = (
                    drawn_standing(likelihood, own, y, output.mean, trained.keys, standing, drawn)
                    if ranked
                    else exact_standing(likelihood, y, means, variances)
                )
                below, equal = added(below, found[0]), added(equal, found[1])
            drawn += means.shape[1]
            mean = added(mean, means.sum(1))
            square = added(square, means.square().sum(1))
            variance = added(variance, variances.sum(1))
    assert mean is not None
    assert square is not None
    assert variance is not None
    mean, square, variance = mean / drawn, square / drawn, variance / drawn
    spread = (square - mean.square()).clamp(min=0)
    log_density = None if log_sum is None else log_sum - math.log(drawn)
    if below is None or equal is None:
        return Prediction(mean, variance + spread, log_density)
    if ranked:
        return Prediction(mean, variance + spread, log_density, below / (drawn + 1), (equal + 1) / (drawn + 1))
    return Prediction(mean, variance + spread, log_density, below / drawn, equal / drawn)


def has_closed_form(trained: TrainedPopulation) -> bool:
    """Whether the predictive distribution is normal: that of a linearised network under normal noise."""
    likelihood = trained.bound.likelihood
    return trained.curved is not None and likelihood.is_normal and not likelihood.has_own_draw


def predict_linear(trained: TrainedPopulation, x: Tensor, y: Tensor | None, standing: bool) -> Prediction:
    """y ~ N(f(x; w*), J H⁻¹ Jᵀ + Σ): what the linearised network predicts under normal noise, in closed form."""
    likelihood = trained.bound.likelihood
    own = trained.parameters.theta.likelihood
    with torch.no_grad():
        f, covariance = trained.linear_predictive(x)
        mean, of_noise = vmap(likelihood.moments)(own, f)
        whole = covariance + of_noise.flatten(2).diag_embed()
        variance = whole.diagonal(dim1=-2, dim2=-1).reshape(of_noise.shape)
        log_prob = None if y is None else log_normal((y - mean).flatten(2), whole)
        if y is None or not standing:
            return Prediction(mean, variance, log_prob)
        below, equal = exact_standing(likelihood, y, mean.unsqueeze(1), variance.unsqueeze(1))
    return Prediction(mean, variance, log_prob, below, equal)


def log_normal(away: Tensor, covariance: Tensor) -> Tensor:
    """log N(y | mean, C) of y − mean (…, k) under C (…, k, k)."""
    factor = torch.linalg.cholesky_ex(covariance)[0]
    solved = torch.linalg.solve_triangular(factor, away.unsqueeze(-1), upper=False).squeeze(-1)
    logs = factor.diagonal(dim1=-2, dim2=-1).log() + HALF_LOG_TWO_PI
    found: Tensor = (-0.5 * solved.square() - logs).sum(-1)
    return found


def added(total: Tensor | None, part: Tensor) -> Tensor:
    """The sum so far with one more part."""
    return part if total is None else total + part
