"""What a likelihood promises of its draws of y given f."""

from __future__ import annotations

import numpy as np

from .check import Rule, expect, rule
from .likelihood_grid import ROWS, given, joint
from .likelihood_subject import LikelihoodSubject
from .numbers import ROUNDING

DRAWS = 4_000
STANDARD_ERRORS = 5.0

MOST_DISTANCE = 2.5
"""Of √N D, which exceeds it with a probability of 2 exp(−2 · 2.5²) = 7·10⁻⁶ where draws follow the distribution."""


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


@rule("draw from p(y | f) itself, with its spread and shape; the default draws are normal, or Poisson for counts")
def draws_follow_the_density(subject: LikelihoodSubject) -> None:
    """Draws of a single number, or count, are distributed as exp(log_prob): √N D ≤ 2.5 for Kolmogorov's distance D."""
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


RULES: tuple[Rule[LikelihoodSubject], ...] = (draws_follow_the_moments, draws_follow_the_density)
