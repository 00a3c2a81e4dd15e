"""What a likelihood promises as a distribution of y: it is normalised, its moments are its own, and draws follow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .check import expect, remedy
from .likelihood_grid import ROWS, Joint, given, joint
from .likelihood_subject import LikelihoodSubject
from .numbers import ROUNDING, expect_close, expect_shape

TOLERANCE = {"continuous": 1e-3, "counts": 1e-6, "classes": 1e-9, "binary": 1e-9}
"""Error of sums over y: numerical integration, the counts that are left out, rounding."""

TOLERANCE_OF_TWO = {"continuous": 3e-3, "counts": 1e-6, "binary": 1e-9}
"""The same over two targets."""

END = 2e-3
"""What the last values may add to a sum, as a share of the average value: else they leave too much beyond them."""


class Moment(NamedTuple):
    """Σ p a over the values of y, and whether the values reach far enough for it."""

    value: Tensor
    reached: bool


def moment(probabilities: Tensor, of_y: Tensor) -> Moment:
    """Of a function of y at its values, (G,), which have probabilities (G,)."""
    terms = probabilities * of_y
    largest = float(torch.stack([terms[0], terms[-1]]).abs().max())
    return Moment(terms.sum(), largest <= END * float(terms.abs().mean()))


def expect_one(found: Joint, tolerance: float) -> None:
    """Complain unless probabilities sum to 1."""
    total = float(found.probabilities.sum())
    expect(abs(total - 1) <= tolerance, f"{total:.8g} (to be 1 within {tolerance:g})")


def expect_moments(
    subject: LikelihoodSubject, row: int, found: Joint, tolerance: float, named: Callable[[str, int], str]
) -> None:
    """Complain unless every target's moments are those of its marginal distribution, where its values reach far enough.

    Infinite moments aren't looked at.
    """
    n_targets = len(found.grids)
    mean, variance = (each[row] for each in subject.over(n_targets).moments(*given(subject, n_targets)))
    for target, grid in enumerate(found.grids):
        probabilities = found.marginal(target)
        own = moment(probabilities, grid.y)
        if not bool(torch.isfinite(mean[target])) or not own.reached:
            continue
        expect_close(mean[target], own.value, named("mean", target), tolerance)
        square = moment(probabilities, (grid.y - own.value).square())
        if bool(torch.isfinite(variance[target])) and square.reached:
            expect_close(variance[target], square.value, named("variance", target), tolerance)


DRAWS = 4_000
STANDARD_ERRORS = 5.0

MOST_DISTANCE = 2.5
"""Of √N D, which exceeds it with a probability of 2 exp(−2 · 2.5²) = 7·10⁻⁶ where draws follow the distribution."""


class LikelihoodDensityTests:
    """p(y | f) is a distribution, and its moments are its own."""

    @remedy("add the normalising constant to log_prob; evidence compares likelihoods, so that constants count")
    def test_sums_to_one(self, subject: LikelihoodSubject) -> None:
        """The sum, or integral, of p(y | f) over all y of a single target is 1."""
        tolerance = TOLERANCE[subject.plugin.target]
        for row in range(ROWS):
            expect_one(joint(subject, row, 1), tolerance)

    @remedy("return mean and variance of p(y | f) from `moments`; predictions and their errors are made of them")
    def test_moments_are_its_own(self, subject: LikelihoodSubject) -> None:
        """`moments` are the mean and variance of y under exp(log_prob), of one shape (rows, …)."""
        likelihood = subject.likelihood
        f = subject.outputs()
        mean, variance = likelihood.moments(subject.parameters(), f)
        columns = subject.example.n_classes if subject.plugin.target == "classes" else subject.n_targets
        expect_shape(mean, (len(f), columns), "the mean")
        expect_shape(variance, (len(f), columns), "the variance")
        expect(not bool((variance < 0).any()), "a negative variance")
        tolerance = TOLERANCE[subject.plugin.target]
        if subject.plugin.target == "classes":
            mean, variance = subject.over(1).moments(*given(subject, 1))
            for row in range(ROWS):
                weights = joint(subject, row, 1).probabilities
                expect_close(mean[row], weights, "the mean", tolerance)
                expect_close(variance[row], weights * (1 - weights), "the variance", tolerance)
            return
        for row in range(ROWS):
            expect_moments(subject, row, joint(subject, row, 1), tolerance, lambda what, _: f"the {what}")

    @remedy("sum log_prob over all targets of a row, and take every y_j with its own part of f and its own parameters")
    def test_two_targets_have_a_joint_density(self, subject: LikelihoodSubject) -> None:
        """p(y | f) over all pairs (y_1, y_2) sums to 1, and mean and variance of each y_j are those of `moments`."""
        if subject.plugin.target == "classes":
            return
        tolerance = TOLERANCE_OF_TWO[subject.plugin.target]
        for row in range(ROWS - 1):
            found = joint(subject, row, 2)
            expect_one(found, tolerance)
            expect_moments(subject, row, found, tolerance, lambda what, target: f"the {what} of y_{target + 1}")

    @remedy("override `draw` where y isn't normal, categorical, Bernoulli or Poisson, and draw from `generator` alone")
    def test_draws_follow_the_moments(self, subject: LikelihoodSubject) -> None:
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

    @remedy("draw from p(y | f) itself, with its spread and shape; the default draws are normal, or Poisson for counts")
    def test_draws_follow_the_density(self, subject: LikelihoodSubject) -> None:
        """Draws of a single number, or count, follow exp(log_prob): √N D ≤ 2.5 for Kolmogorov's distance D."""
        if subject.plugin.target in ("classes", "binary"):  # their mean is the whole distribution
            return
        likelihood = subject.over(1)
        parameters, f = given(subject, 1)
        drawn = likelihood.draw(parameters, f.repeat_interleave(DRAWS, 0), np.random.default_rng(5))
        expect(bool(np.isfinite(drawn).all()), "draws that are NaN or infinite")
        for row, values in enumerate(np.sort(drawn.reshape(ROWS, DRAWS), axis=1)):
            ((grid, *_), probabilities) = joint(subject, row, 1)
            up_to = np.concatenate([[0.0], probabilities.cumsum(0).numpy()])
            expect(0 < up_to[-1] < np.inf, f"draws, and probabilities that sum to {up_to[-1]:g}")
            below = np.searchsorted(grid.y.numpy(), values, side="right")
            expected = up_to[below] / up_to[-1]
            # at equal counts both are those at the last of them
            frequency = np.searchsorted(values, values, side="right") / DRAWS
            distance = DRAWS**0.5 * float(np.abs(frequency - expected).max())
            expect(distance <= MOST_DISTANCE, f"√N D = {distance:.1f} for N = {DRAWS} draws given one f")
