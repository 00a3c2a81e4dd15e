"""Priors of the weights against the integrals that define them, for scales from 1e-3 to 1e3."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    noise_of,
    normal,
    perturbed,
    population,
    start,
    structures,
)
from scipy.integrate import quad
from scipy.stats import halfcauchy, laplace, norm

from structflow.builtin.weight_priors.double_exponential import DoubleExponential
from structflow.builtin.weight_priors.horseshoe import Horseshoe, log_scaled_integral
from structflow.objective.bound import BoundInputs

SCALES = [1e-3, 1e-2, 1.0, 1e2, 1e3]
X, Y = normal(12, 2, seed=1), normal(12, 1, seed=2)
ONE = torch.ones((), dtype=DOUBLE)


def log_precision(scale: float) -> torch.Tensor:
    return torch.tensor(-2 * math.log(scale), dtype=DOUBLE)


@pytest.mark.parametrize("scale", SCALES)
def test_double_exponential_is_that_of_scipy(scale):
    """Laplace's distribution with b = scale / √2, so that its variance is 1/A."""
    w = scale * torch.tensor([0.0, -1e-3, 0.5, 30.0], dtype=DOUBLE)
    found = DoubleExponential.log_prob(None, w, log_precision(scale))
    np.testing.assert_allclose(found.numpy(), laplace(scale=scale / math.sqrt(2)).logpdf(w.numpy()), rtol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.3, 1e-3), (-2.0, 0.7), (1e-3, 1e3), (5.0, 1e-6)])
def test_double_exponential_under_a_normal_in_closed_form(scale, mean, sd):
    """E log p(w) for w ~ N(mean, sd²) in units of the scale: mpmath's integral of |w| on both sides of 0, to 1e-12."""
    mpmath.mp.dps = 30
    away = mpmath.mpf(mean) / sd
    below, above = (mpmath.quad(lambda z: mpmath.npdf(z) * abs(mean + sd * z), part) for part in (
        [-40, min(-away, 40), min(max(-away, -40), 40)] if abs(away) < 40 else [-40, 0],
        [max(min(-away, 40), -40), 40] if abs(away) < 40 else [0, 40],
    ))  # fmt: skip
    expected = -mpmath.log(2) / 2 - mpmath.log(scale) - mpmath.sqrt(2) * (below + above)
    given = (torch.tensor(value, dtype=DOUBLE) for value in (mean * scale, (sd * scale) ** 2))
    found = float(DoubleExponential.expected_log_prob(None, *given, log_precision(scale)))
    assert found == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("weight", [1e-6, 1e-2, 0.7, 3.0, 50.0])
def test_horseshoe_is_a_mixture_of_normals(scale, weight):
    """log ∫ N(w; 0, λ² scale²) C⁺(λ) dλ by quadrature over log λ, to 1e-8."""

    def integrand(t: float) -> float:
        spread = math.exp(t)
        return float(norm(0, spread * scale).pdf(weight * scale) * halfcauchy.pdf(spread) * spread)

    mass = quad(integrand, -40, 40, limit=400, points=[math.log(weight), 0.0], epsabs=0, epsrel=1e-11)[0]
    w = torch.tensor(weight * scale, dtype=DOUBLE)
    found = float(Horseshoe.log_prob(None, w, log_precision(scale)))
    assert found == pytest.approx(math.log(mass), abs=1e-8)


@pytest.mark.parametrize("exponent", np.linspace(-300, 300, 25))
def test_the_exponential_integral(exponent):
    """log eˣ E₁(x) at x = 1e-300 … 1e300, and about the split of its two forms, against mpmath to 1e-13."""
    mpmath.mp.dps = 40
    for x in (10.0**exponent, 3.0 + exponent / 1e3):
        if x < 1e4:
            expected = mpmath.log(mpmath.exp(mpmath.mpf(x)) * mpmath.e1(mpmath.mpf(x)))
        else:  # 1/x − 1/x² + 2/x³ − …
            expected = mpmath.log(sum((-1) ** k * mpmath.factorial(k) / mpmath.mpf(x) ** (k + 1) for k in range(12)))
        found = float(log_scaled_integral(torch.tensor(x, dtype=DOUBLE)))
        assert found == pytest.approx(float(expected), rel=1e-13, abs=1e-13)


def bound_under(prior: str, posterior: str = "diagonal"):
    of = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    return make_bound(
        population(of, structures(of)),
        likelihood_options={"noise": 0.5},
        prior={"weights": {"type": prior, "precision": 2.0}},
        posterior={"weights": posterior},
    )


def test_weights_are_integrated_where_the_prior_has_a_closed_form():
    """E log p(w) of a horseshoe is an average over draws, so that the weights are drawn."""
    assert bound_under("double_exponential").is_exact
    assert bound_under("horseshoe").weights.integrated == (False,)
    assert not bound_under("horseshoe").is_exact


@pytest.mark.parametrize("prior", ["normal", "double_exponential", "horseshoe"])
@pytest.mark.parametrize("posterior", ["diagonal", "full", "low_rank"])
def test_the_divergence_is_the_mean_of_its_samples(prior, posterior):
    """KL as training takes it, and log q − log p at 4,000 draws of the same noise or another: within 5 errors."""
    bound = bound_under(prior, posterior)
    sampled = make_bound(
        bound.population,
        likelihood_options={"noise": 0.5},
        prior={"weights": {"type": prior, "precision": 2.0}},
        posterior={"weights": posterior},
        integrate=False,
    )
    parameters = perturbed(start(bound))
    keys, indices = keys_of(bound.population), bound.population.indices
    averaged = bound.terms(
        bound.of_labels(parameters), BoundInputs(noise_of(bound, keys, 4_000), X, Y, ONE, indices, ONE)
    ).kl_weights
    draws = sampled.sample_terms(
        sampled.of_labels(parameters), BoundInputs(noise_of(sampled, keys, 4_000, step=1), X, Y, ONE, indices)
    ).kl_weights
    error = draws.std() / math.sqrt(4_000)
    assert abs(float(draws.mean() - averaged[0])) < 5 * float(error) + (0 if prior != "horseshoe" else 5 * float(error))


def test_a_point_under_a_double_exponential_prior_is_the_lasso():
    """−KL is log p(w) = Σ [½ log A − ½ log 2 − √(2A) |w|] of the three weights, A = 2."""
    bound = bound_under("double_exponential", "point")
    parameters = perturbed(start(bound))
    noise = noise_of(bound, keys_of(bound.population), 1)
    found = bound.terms(
        bound.of_labels(parameters), BoundInputs(noise, X, Y, ONE, bound.population.indices, ONE)
    ).kl_weights
    size = float(parameters["mean/x->y/linear"].abs().sum())
    assert float(found) == pytest.approx(2 * size, rel=1e-12)  # log A = log 2, √(2A) = 2
