"""WAIC and Pareto smoothed leave-one-out scores: a model whose posterior is known, and loops over rows and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import genpareto, norm

from structflow.builtin.criteria.loo import loo_of_rows
from structflow.builtin.criteria.pareto_smoothing import generalised_pareto, smoothed_log_weights
from structflow.builtin.criteria.waic import waic_of_rows

ROWS, DRAWS, SD, PRECISION = 12, 40_000, 0.5, 1.0


@pytest.fixture(scope="module")
def conjugate():
    """Log likelihoods (1, S, rows) of draws of the posterior of μ, and the rows: y_i ~ N(μ, σ²), μ ~ N(0, 1)."""
    rng = np.random.default_rng(5)
    y = 0.7 + SD * rng.normal(size=ROWS)
    precision = PRECISION + ROWS / SD**2
    draws = y.sum() / SD**2 / precision + rng.normal(size=DRAWS) / math.sqrt(precision)
    return torch.from_numpy(norm(draws[:, None], SD).logpdf(y))[None], y


def left_out(y):
    """Σ_i log p(y_i | y_{−i}) in closed form: normal densities of mean m_{−i} and variance σ² + 1/precision."""
    total = 0.0
    for number in range(len(y)):
        others = np.delete(y, number)
        precision = PRECISION + len(others) / SD**2
        total += norm(others.sum() / SD**2 / precision, math.sqrt(SD**2 + 1 / precision)).logpdf(y[number])
    return total


def test_loo_is_the_predictive_density_of_the_row_left_out(conjugate):
    """Exact densities by conjugacy; 40,000 draws reach them to 0.02 nats over twelve rows, and say so."""
    log_likelihood, y = conjugate
    density, influence, heavy = loo_of_rows(log_likelihood)
    error = float(influence.sum(-1).square().sum(1).sqrt())
    assert float(density.sum()) == pytest.approx(left_out(y), abs=4 * error)
    assert 0.001 < error < 0.02
    assert not heavy.any()


def test_waic_is_near_to_leaving_rows_out(conjugate):
    """They agree to o(1/m) a row: within 0.05 nats in all here, where the log likelihood at the mean is 1 nat above."""
    log_likelihood, y = conjugate
    density, influence = waic_of_rows(log_likelihood)
    assert float(density.sum()) == pytest.approx(left_out(y), abs=0.05)
    assert 0.001 < float(influence.sum(-1).square().sum(1).sqrt()) < 0.02
    assert abs(float(log_likelihood.mean(1).sum()) - left_out(y)) > 0.3


def test_waic_of_few_draws_by_loops():
    """log mean p and the unbiased variance of log p, row by row; of a single draw log p itself, without an error."""
    values = np.random.default_rng(1).normal(size=(2, 7, 3))
    expected = [
        [logsumexp(values[member, :, row]) - math.log(7) - values[member, :, row].var(ddof=1) for row in range(3)]
        for member in range(2)
    ]
    np.testing.assert_allclose(waic_of_rows(torch.from_numpy(values))[0].numpy(), expected, rtol=1e-12)
    single, influence = waic_of_rows(torch.from_numpy(values[:, :1]))
    assert torch.equal(single, torch.from_numpy(values[:, 0]))
    assert not influence.any()


@pytest.mark.parametrize("corrected", [waic_of_rows, lambda values: loo_of_rows(values)[:2]])
def test_standard_errors_are_the_spread_over_repetitions(corrected):
    """400 sets of 200 draws each: the mean of the errors that are told is the spread of the sums, within a fifth."""
    rng = np.random.default_rng(3)
    log_likelihood = torch.from_numpy(0.3 * rng.normal(size=(400, 200, 5)) + 0.2 * rng.normal(size=(400, 200, 1)))
    density, influence = corrected(log_likelihood)
    told = influence.sum(-1).square().sum(1).sqrt()
    assert float(told.mean()) == pytest.approx(float(density.sum(-1).std()), rel=0.2)


@pytest.mark.parametrize("shape", [-0.3, 0.1, 0.5, 0.9])
def test_the_shape_of_a_tail_is_found(shape):
    """Of 4000 draws of a generalised Pareto distribution: k within 0.08, σ within a tenth."""
    draws = np.sort(genpareto(shape, scale=2.0).rvs(4000, random_state=7))
    found, scale = generalised_pareto(torch.from_numpy(draws)[None])
    assert float(found) == pytest.approx(shape, abs=0.08)
    assert float(scale) == pytest.approx(2.0, rel=0.1)


def smoothed_slowly(log_ratios):
    """Pareto smoothing of one set of ratios, in the words of the paper, with numpy alone."""
    ratios = log_ratios - log_ratios.max()
    draws = len(ratios)
    length = math.ceil(min(draws / 5, 3 * math.sqrt(draws)))
    order = np.argsort(ratios)
    cutoff = math.exp(ratios[order[-length - 1]])
    excess = np.exp(ratios[order[-length:]]) - cutoff
    points = 30 + int(math.sqrt(length))
    quartile = excess[int(length / 4 + 0.5) - 1]
    theta = [1 / excess[-1] + (1 - math.sqrt(points / (j - 0.5))) / (3 * quartile) for j in range(1, points + 1)]
    shapes = [np.log1p(-each * excess).mean() for each in theta]
    profile = [length * (math.log(-each / k) - k - 1) for each, k in zip(theta, shapes, strict=True)]
    weights = np.exp(np.array(profile) - logsumexp(profile))
    mean = float(weights @ theta)
    raw = np.log1p(-mean * excess).mean()
    shape = (length * raw + 5) / (length + 10)
    quantiles = genpareto(shape, scale=-raw / mean).ppf((np.arange(length) + 0.5) / length)
    ratios[order[-length:]] = np.minimum(np.log(quantiles + cutoff), 0)
    return ratios - logsumexp(ratios), shape


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_smoothing_of_many_sets_is_that_of_each(spread):
    log_ratios = spread * np.random.default_rng(2).normal(size=(2, 3, 256))
    weights, shapes = smoothed_log_weights(torch.from_numpy(log_ratios))
    for place in np.ndindex(2, 3):
        expected, shape = smoothed_slowly(log_ratios[place].copy())
        np.testing.assert_allclose(weights[place].numpy(), expected, rtol=1e-9, atol=1e-9)
        assert float(shapes[place]) == pytest.approx(shape, rel=1e-9)


def test_what_has_no_tail_is_left_as_it_is():
    """Equal ratios have equal weights; of ten draws no tail is smoothed."""
    equal, shapes = smoothed_log_weights(torch.zeros(1, 100, dtype=torch.float64))
    assert equal.exp().sum() == pytest.approx(1.0)
    assert float(equal.exp().amax()) == pytest.approx(0.01)
    assert shapes.isinf().all()
    few = torch.from_numpy(np.random.default_rng(4).normal(size=(1, 10)))
    assert torch.allclose(smoothed_log_weights(few)[0], few - few.logsumexp(-1))
