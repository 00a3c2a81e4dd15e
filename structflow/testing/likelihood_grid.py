"""Values of y that a distribution is summed over, and the probability that a likelihood gives to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from .check import expect
from .likelihood_subject import LikelihoodSubject
from .numbers import DOUBLE, Weights

ROWS = 3
"""Values of f at which the distribution is looked at."""

POINTS, POINTS_OF_TWO = 20_001, 801
"""Values of a continuous target where there is one, and of each of two."""

MOST_COUNTS, MOST_COUNTS_OF_TWO = 100_000, 1_500
"""Counts that are summed over at most: of a single target, of each of two."""

DEVIATIONS = 60.0
"""How far from the mean counts are summed."""

REACH = 20.0
"""Ends of u: values reach sinh(20) = 2·10⁸ deviations."""

NEAREST = 60.0
"""Values come as near to an end of the support as exp(−60) deviations: densities may rise there without bound."""

FARTHEST_END = 5.0
"""Deviations from the mean within which an end of the support matters. Those farther out are often underflow."""

HALVINGS = 80
"""How often the place where the support ends is bracketed more closely."""


class Grid(NamedTuple):
    """Values of one target (G,), and what each counts in a sum over all of them."""

    y: Tensor
    counts: Tensor


class Joint(NamedTuple):
    """Grids of the targets, and the probability of every combination: (G,) for one, (G_1, G_2) for two."""

    grids: list[Grid]
    probabilities: Tensor

    def marginal(self, target: int) -> Tensor:
        """Probabilities of the values of one target, (G_j,)."""
        others = [axis for axis in range(len(self.grids)) if axis != target]
        return self.probabilities.sum(others) if others else self.probabilities


def given(subject: LikelihoodSubject, n_targets: int) -> tuple[Weights, Tensor]:
    """Learned parameters and values of f, (ROWS, *output shape), for so many targets."""
    return subject.parameters(n_targets=n_targets), subject.outputs(rows=ROWS, n_targets=n_targets)


def joint(subject: LikelihoodSubject, row: int, n_targets: int) -> Joint:
    """p(y | f) times what each y counts, for one value of f and one target or two."""
    likelihood = subject.over(n_targets)
    parameters, f = given(subject, n_targets)
    mean, variance = (moment[row].flatten() for moment in likelihood.moments(parameters, f))
    centre = torch.where(torch.isfinite(mean), mean, torch.zeros_like(mean))
    known = torch.isfinite(variance) & (variance > 0)
    deviation = torch.where(known, variance, torch.ones_like(variance)).sqrt()

    def log_prob(y: Tensor) -> Tensor:
        found = likelihood.log_prob(parameters, y, f[row].expand(len(y), *f.shape[1:]))
        expect(not bool(torch.isnan(found).any()), "log_prob is NaN for some y (give −∞ where p(y | f) is 0)")
        return found

    def along(target: int) -> Callable[[Tensor], Tensor]:
        def log_prob_along(values: Tensor) -> Tensor:
            y = centre.repeat(len(values), 1)
            y[:, target] = values
            return log_prob(y)

        return log_prob_along

    if subject.plugin.target == "classes":
        classes = torch.arange(subject.example.n_classes, dtype=DOUBLE)
        grids = [Grid(classes, torch.ones_like(classes))]
        return Joint(grids, log_prob(classes.unsqueeze(1)).exp())
    grids = [
        support(subject, float(centre[target]), float(deviation[target]), n_targets, along(target))
        for target in range(n_targets)
    ]
    y = torch.cartesian_prod(*(grid.y for grid in grids)).reshape(-1, n_targets)
    counts = torch.cartesian_prod(*(grid.counts for grid in grids)).reshape(-1, n_targets).prod(1)
    probabilities = log_prob(y).exp() * counts
    return Joint(grids, probabilities.reshape([len(grid.y) for grid in grids]))


def support(
    subject: LikelihoodSubject, mean: float, deviation: float, n_targets: int, log_prob: Callable[[Tensor], Tensor]
) -> Grid:
    """Values of one of `n_targets` targets that isn't a class; `log_prob` is that of its values."""
    kind = subject.plugin.target
    if kind == "binary":
        return Grid(torch.arange(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE))
    if kind == "counts":
        first = int(max(0.0, mean - DEVIATIONS * deviation))
        last = int(max(200.0, mean + DEVIATIONS * deviation))
        if n_targets > 1 and last - first >= MOST_COUNTS_OF_TWO:
            pytest.skip(f"counts from {first} to {last} of two targets are too many combinations to sum over")
        y = torch.arange(first, min(last, first + MOST_COUNTS) + 1, dtype=DOUBLE)
        return Grid(y, torch.ones_like(y))
    return continuous(mean, deviation, POINTS if n_targets == 1 else POINTS_OF_TWO, log_prob)


def continuous(mean: float, deviation: float, points: int, log_prob: Callable[[Tensor], Tensor]) -> Grid:
    """Values of a continuous target for equally spaced u, many where the density is likely to change fast.

    y = mean + deviation · sinh(u) on the whole line, so that heavy tails are reached too. Where log_prob is −∞ below
    an end a, or above b, near the mean: y = a + deviation · e^u, y = b − deviation · e^u, a + (b − a) / (1 + e^−u).
    """
    u = torch.linspace(-REACH, REACH, points, dtype=DOUBLE)
    line = mean + deviation * u.sinh()
    inside = (log_prob(line) > -torch.inf).nonzero().flatten()
    low = high = None
    if len(inside):
        first, last = int(inside[0]), int(inside[-1])
        low = end_of_support(line[first - 1], line[first], log_prob) if first > 0 else None
        high = end_of_support(line[last + 1], line[last], log_prob) if last + 1 < points else None
    low, high = (
        end if end is not None and abs(float(end) - mean) <= FARTHEST_END * deviation else None for end in (low, high)
    )
    if low is None and high is None:
        return Grid(line, deviation * u.cosh() * (u[1] - u[0]))
    if low is not None and high is not None:
        u = torch.linspace(-NEAREST, NEAREST, points, dtype=DOUBLE)
        return Grid(low + (high - low) * u.sigmoid(), (high - low) * u.sigmoid() * (-u).sigmoid() * (u[1] - u[0]))
    u = torch.linspace(-NEAREST, REACH, points, dtype=DOUBLE)
    distance = deviation * u.exp()
    if low is not None:
        return Grid(low + distance, distance * (u[1] - u[0]))
    assert high is not None
    return Grid((high - distance).flip(0), (distance * (u[1] - u[0])).flip(0))


def end_of_support(outside: Tensor, inside: Tensor, log_prob: Callable[[Tensor], Tensor]) -> Tensor:
    """The value nearest to `outside`, where log_prob is −∞, at which it isn't."""
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if bool(log_prob(middle.reshape(1)) > -torch.inf):
            inside = middle
        else:
            outside = middle
    return inside
