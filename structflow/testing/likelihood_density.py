"""What a likelihood promises as a distribution of y: it is normalised; moments, draws, expectations are its own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from .check import Rule, expect, rule
from .likelihood_subject import LikelihoodSubject
from .numbers import ROUNDING, Weights, expect_close, expect_finite, expect_shape

ROWS = 3
"""Values of f at which the distribution is looked at."""

TOLERANCE = {"continuous": 1e-3, "counts": 1e-6, "classes": 1e-9, "binary": 1e-9}
"""Error of sums over y: numerical integration, the counts that are left out, rounding."""

MOST_COUNTS = 100_000
DRAWS = 4_000
STANDARD_ERRORS = 5.0
QUADRATURE_POINTS = {1: 80, 2: 40, 3: 20}
"""Gauss-Hermite points along each axis, by the number of values of the output node."""

QUADRATURE_TOLERANCE = 1e-5


def one_target(subject: LikelihoodSubject) -> tuple[Weights, Tensor]:
    """Learned parameters and values of f for a single target."""
    return subject.parameters(n_targets=1), subject.outputs(rows=ROWS, n_targets=1)


def support(subject: LikelihoodSubject, mean: float, deviation: float) -> tuple[Tensor, Tensor]:
    """Values of a single target (G,), and what each counts in a sum over all of them.

    Continuous: y = mean + deviation · sinh(u) for equally spaced u, so that heavy tails are reached too.
    """
    kind = subject.plugin.target
    if kind == "binary":
        return torch.arange(2.0, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    if kind == "classes":
        classes = torch.arange(subject.example.n_classes, dtype=torch.float64)
        return classes, torch.ones_like(classes)
    if kind == "counts":
        last = int(min(MOST_COUNTS, max(200.0, mean + 60 * deviation)))
        counts = torch.arange(last + 1, dtype=torch.float64)
        return counts, torch.ones_like(counts)
    u = torch.linspace(-20, 20, 20_001, dtype=torch.float64)
    return mean + deviation * u.sinh(), deviation * u.cosh() * (u[1] - u[0])


def probabilities(subject: LikelihoodSubject, row: int) -> tuple[Tensor, Tensor]:
    """Values of y (G,) and the probability of each, p(y | f) times what it counts, for one value of f."""
    likelihood = subject.over(1)
    parameters, f = one_target(subject)
    mean, variance = (moment[row].flatten() for moment in likelihood.moments(parameters, f))
    deviation = float(variance[0].sqrt()) if bool(torch.isfinite(variance[0]) & (variance[0] > 0)) else 1.0
    y, counts = support(subject, float(mean[0]) if bool(torch.isfinite(mean[0])) else 0.0, deviation)
    log_prob = likelihood.log_prob(parameters, y.unsqueeze(1), f[row].expand(len(y), *f.shape[1:]))
    expect(not bool(torch.isnan(log_prob).any()), "log_prob is NaN for some y (give −∞ where p(y | f) is 0)")
    return y, log_prob.exp() * counts


@rule("add the normalising constant to log_prob; evidence compares likelihoods, so that constants count")
def sums_to_one(subject: LikelihoodSubject) -> None:
    """The sum, or integral, of p(y | f) over all y of a single target is 1."""
    for row in range(ROWS):
        _, weights = probabilities(subject, row)
        total = float(weights.sum())
        tolerance = TOLERANCE[subject.plugin.target]
        expect(abs(total - 1) <= tolerance, f"{total:.8g} (to be 1 within {tolerance:g})")


@rule("return mean and variance of p(y | f) from `moments`; predictions and their errors are made of them")
def moments_are_its_own(subject: LikelihoodSubject) -> None:
    """`moments` are the mean and variance of y under exp(log_prob), of one shape (rows, …)."""
    likelihood = subject.likelihood
    f = subject.outputs()
    mean, variance = likelihood.moments(subject.parameters(), f)
    columns = subject.example.n_classes if subject.plugin.target == "classes" else subject.n_targets
    expect_shape(mean, (len(f), columns), "the mean")
    expect_shape(variance, (len(f), columns), "the variance")
    expect(not bool((variance < 0).any()), "a negative variance")
    mean, variance = subject.over(1).moments(*one_target(subject))
    tolerance = TOLERANCE[subject.plugin.target]
    for row in range(ROWS):
        y, weights = probabilities(subject, row)
        if subject.plugin.target == "classes":
            expect_close(mean[row], weights, "the mean", tolerance)
            expect_close(variance[row], weights * (1 - weights), "the variance", tolerance)
            continue
        if bool(torch.isfinite(mean[row]).all()):
            own = (weights * y).sum().reshape(mean[row].shape)
            expect_close(mean[row], own, "the mean", tolerance)
            if bool(torch.isfinite(variance[row]).all()):
                square = (weights * (y - own).square()).sum().reshape(variance[row].shape)
                expect_close(variance[row], square, "the variance", tolerance)


@rule(
    "override `draw` where y given f isn't normal, categorical, Bernoulli or Poisson, and draw from `generator` alone"
)
def draws_follow_the_moments(subject: LikelihoodSubject) -> None:
    """`draw` has the shape of the mean, repeats itself for equal generators, and its mean is that of `moments`."""
    likelihood = subject.likelihood
    parameters = subject.parameters()
    f = subject.outputs(rows=ROWS).repeat_interleave(DRAWS, 0)
    mean, variance = (moment.numpy() for moment in likelihood.moments(parameters, f))
    drawn, again = (likelihood.draw(parameters, f, np.random.default_rng(5)) for _ in range(2))
    expect(np.shape(drawn) == mean.shape, f"draws of shape {np.shape(drawn)}; the mean has {mean.shape}")
    expect(np.array_equal(drawn, again), "other draws from a generator of the same seed")
    other = likelihood.draw(parameters, f, np.random.default_rng(6))
    expect(not np.array_equal(drawn, other), "the same draws from a generator of another seed")
    found = drawn.reshape(ROWS, DRAWS, -1).mean(1)
    wanted, error = mean[::DRAWS].reshape(ROWS, -1), np.sqrt(variance[::DRAWS] / DRAWS).reshape(ROWS, -1)
    known = np.isfinite(wanted) & np.isfinite(error)
    off = np.abs(found - wanted)[known] / np.maximum(error[known], ROUNDING)
    expect(
        bool((off <= STANDARD_ERRORS).all()),
        f"a mean of {DRAWS} draws that is off by {off.max(initial=0):.1f} standard errors",
    )


@rule("derive `expected_log_prob` again: E log p(y | f) for independent normal values of the output node")
def closed_form_is_the_expectation(subject: LikelihoodSubject) -> None:
    """Where `closed_form` holds, `expected_log_prob` is Gauss-Hermite quadrature of `log_prob`, also under vmap."""
    likelihood = subject.over(1)
    if not likelihood.closed_form:
        return
    parameters, mean = one_target(subject)
    y = subject.targets()[:ROWS, :1]
    variance = 0.1 + 0.3 * mean.square()
    found = likelihood.expected_log_prob(parameters, y, mean, variance)
    expect_shape(found, (ROWS,), "expected_log_prob")
    expect_finite(found, "expected_log_prob")
    at_a_point = likelihood.expected_log_prob(parameters, y, mean, torch.zeros_like(mean))
    expect_close(at_a_point, likelihood.log_prob(parameters, y, mean), "expected_log_prob without variance")
    several = vmap(likelihood.expected_log_prob, (None, None, 0, 0))(
        parameters, y, torch.stack([mean, mean]), torch.stack([variance, variance])
    )
    expect_close(several, torch.stack([found, found]), "expected_log_prob over members")
    axes = math.prod(mean.shape[1:])
    if axes not in QUADRATURE_POINTS:
        pytest.skip(f"no quadrature over the {axes} values of the output node")
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_POINTS[axes])
    points = list(zip(nodes, weights / weights.sum(), strict=True))
    expected = torch.zeros(ROWS, dtype=mean.dtype)
    for grid in itertools.product(points, repeat=axes):
        place = mean.new_tensor([node for node, _ in grid]).reshape(mean.shape[1:])
        at = likelihood.log_prob(parameters, y, mean + place * variance.sqrt())
        expected += math.prod(weight for _, weight in grid) * at
    expect_close(found, expected, "expected_log_prob", QUADRATURE_TOLERANCE)


RULES: tuple[Rule[LikelihoodSubject], ...] = (
    sums_to_one,
    moments_are_its_own,
    draws_follow_the_moments,
    closed_form_is_the_expectation,
)
