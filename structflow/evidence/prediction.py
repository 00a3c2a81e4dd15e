"""Predictions of trained members: moments of y and the log of its predictive density."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from .trained import TrainedPopulation


@dataclass(frozen=True)
class Prediction:
    """For every member: mean and variance of y (M, rows, …), and log p(y) of given targets (M, rows) or None."""

    mean: Tensor
    variance: Tensor
    log_prob: Tensor | None


def predict(trained: TrainedPopulation, x: Tensor, y: Tensor | None, samples: int) -> Prediction:
    """Average over `samples` of q: E y, Var y (law of total variance), log (1/S) Σ_s p(y | f_s) for each row.

    `trained` must have a bound that samples all weights; `x` (rows, *input_shape) and `y` (rows, …) are prepared as
    the training data was, and so is the result.
    """
    bound = trained.bound
    own = bound.likelihood_parameters(trained.parameters)
    moments = vmap(vmap(bound.likelihood.moments, (None, 0)), (0, 0))
    log_prob = vmap(vmap(bound.likelihood.log_prob, (None, None, 0)), (0, None, 0))
    mean = square = variance = log_sum = None
    drawn = 0
    with torch.no_grad():
        for output in trained.outputs(x, samples, "predict"):
            means, variances = moments(own, output.mean)
            drawn += means.shape[1]
            mean = added(mean, means.sum(1))
            square = added(square, means.square().sum(1))
            variance = added(variance, variances.sum(1))
            if y is not None:
                part = log_prob(own, y, output.mean).logsumexp(1)
                log_sum = part if log_sum is None else torch.logaddexp(log_sum, part)
    assert mean is not None
    assert square is not None
    assert variance is not None
    mean, square, variance = mean / drawn, square / drawn, variance / drawn
    spread = (square - mean.square()).clamp(min=0)
    return Prediction(mean, variance + spread, None if log_sum is None else log_sum - math.log(drawn))


def added(total: Tensor | None, part: Tensor) -> Tensor:
    """The sum so far with one more part."""
    return part if total is None else total + part
