"""What a likelihood promises as a distribution of y: it is normalised, and its moments are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .check import Rule, expect, rule
from .likelihood_grid import ROWS, Joint, given, joint
from .likelihood_subject import LikelihoodSubject
from .numbers import expect_close, expect_shape

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


@rule("add the normalising constant to log_prob; evidence compares likelihoods, so that constants count")
def sums_to_one(subject: LikelihoodSubject) -> None:
    """The sum, or integral, of p(y | f) over all y of a single target is 1."""
    tolerance = TOLERANCE[subject.plugin.target]
    for row in range(ROWS):
        expect_one(joint(subject, row, 1), tolerance)


def expect_one(found: Joint, tolerance: float) -> None:
    """Complain unless probabilities sum to 1."""
    total = float(found.probabilities.sum())
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


@rule("sum log_prob over all targets of a row, and take every y_j with its own part of f and its own parameters")
def two_targets_have_a_joint_density(subject: LikelihoodSubject) -> None:
    """p(y | f) over all pairs (y_1, y_2) sums to 1, and the mean and variance of each y_j are those of `moments`."""
    if subject.plugin.target == "classes":
        return
    tolerance = TOLERANCE_OF_TWO[subject.plugin.target]
    for row in range(ROWS - 1):
        found = joint(subject, row, 2)
        expect_one(found, tolerance)
        expect_moments(subject, row, found, tolerance, lambda what, target: f"the {what} of y_{target + 1}")


RULES: tuple[Rule[LikelihoodSubject], ...] = (sums_to_one, moments_are_its_own, two_targets_have_a_joint_density)
