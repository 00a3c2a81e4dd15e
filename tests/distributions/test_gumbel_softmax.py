"""Gumbel-Softmax on the simplex: its density against quadrature and torch, its samples against its density."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical

from structflow.distributions import gumbel_softmax
from structflow.distributions.counter_noise import member_key, uniforms

TEMPERATURES = [0.2, 0.5, 1.0, 2.0, 5.0]
LOG_CONCENTRATION = torch.tensor([0.9, -0.4, 0.1], dtype=torch.float64)
GRID_SPACING = 0.2


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def noise(n_samples: int, n_functions: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return uniforms(torch.tensor([member_key("gumbel-softmax")]), 0, 0, n_samples, (n_functions,), dtype)[0]


def log_density_of_score(score: Tensor, log_concentration: Tensor, temperature: float, scale: float) -> Tensor:
    """K = 2: density over `score` = scale · logit γ_1, smooth where that over γ_1 is singular at 0 and 1.

    dγ_1 / d score = γ_1 γ_2 / scale.
    """
    log_gamma = torch.log_softmax(torch.stack((score / scale, torch.zeros_like(score)), -1), -1)
    log_density = gumbel_softmax.log_prob(log_concentration, scalar(temperature), log_gamma)
    return log_density + log_gamma.sum(-1) - math.log(scale)


def triangle_grid(temperature: float) -> tuple[Tensor, Tensor]:
    """K = 3: log γ and the mass around it, on a grid over u_l = c (log γ_l − log γ_3), l = 1, 2.

    dγ_1 dγ_2 = γ_1 γ_2 γ_3 du_1 du_2 / c². The density over u is analytic and falls off exponentially, so that the
    trapezoid rule converges exponentially.
    """
    axis = torch.arange(-25, 25, GRID_SPACING, dtype=torch.float64)
    scores = torch.stack((*torch.meshgrid(axis, axis, indexing="ij"), torch.zeros(len(axis), len(axis))), -1)
    log_gamma = torch.log_softmax(scores / temperature, -1).flatten(0, 1)
    log_density = gumbel_softmax.log_prob(LOG_CONCENTRATION, scalar(temperature), log_gamma) + log_gamma.sum(-1)
    return log_gamma, log_density.exp() * (GRID_SPACING / temperature) ** 2


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_density_integrates_to_one_for_two_functions(temperature):
    def density(score: float) -> float:
        return log_density_of_score(scalar(score), LOG_CONCENTRATION[:2], temperature, temperature).exp().item()

    assert integrate.quad(density, -40, 40)[0] == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_density_integrates_to_one_for_three_functions(temperature):
    _, mass = triangle_grid(temperature)
    assert mass.sum().item() == pytest.approx(1, abs=1e-8)


def test_density_integrates_to_one_over_gamma_itself():
    """Without a change of variables, where the density is bounded: a check of the other tests' Jacobians."""

    def density(second: float, first: float) -> float:
        log_gamma = torch.tensor([first, second, 1 - first - second], dtype=torch.float64).log()
        return gumbel_softmax.log_prob(LOG_CONCENTRATION, scalar(2.0), log_gamma).exp().item()

    total, _ = integrate.dblquad(density, 0, 1, 0, lambda first: 1 - first, epsabs=1e-4, epsrel=1e-4)
    assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("n_functions", [1, 2, 3])
def test_density_agrees_with_torch(temperature, n_functions):
    log_concentration = LOG_CONCENTRATION[:n_functions]
    log_gamma = gumbel_softmax.sample_log_gamma(log_concentration, scalar(1.0), noise(50, n_functions))
    expected = RelaxedOneHotCategorical(scalar(temperature), logits=log_concentration).log_prob(log_gamma.exp())
    found = gumbel_softmax.log_prob(log_concentration, scalar(temperature), log_gamma)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_moments_of_samples_agree_with_the_density(temperature):
    log_gamma, mass = triangle_grid(temperature)
    sampled = gumbel_softmax.sample_log_gamma(LOG_CONCENTRATION, scalar(temperature), noise(50_000, 3))
    for statistic in (torch.exp, lambda values: values, lambda values: values.exp() * values.roll(1, -1).exp()):
        expected = (mass.unsqueeze(-1) * statistic(log_gamma)).sum(0)
        values = statistic(sampled)
        standard_error = values.std(0) / math.sqrt(len(values))
        assert ((values.mean(0) - expected).abs() < 5 * standard_error).all()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_samples_for_two_functions_follow_the_density(temperature):
    log_concentration = LOG_CONCENTRATION[:2]
    sampled = gumbel_softmax.sample_log_gamma(log_concentration, scalar(temperature), noise(50_000, 2))
    scores = (sampled[:, 0] - sampled[:, 1]) * temperature
    grid = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    density = log_density_of_score(grid, log_concentration, temperature, temperature).exp()
    cumulative = integrate.cumulative_simpson(density.numpy(), x=grid.numpy(), initial=0)
    assert stats.kstest(scores.numpy(), lambda values: np.interp(values, grid.numpy(), cumulative)).pvalue > 1e-3


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_rounding_probabilities(temperature):
    probabilities = gumbel_softmax.rounding_probabilities(LOG_CONCENTRATION)
    torch.testing.assert_close(probabilities, LOG_CONCENTRATION.exp() / LOG_CONCENTRATION.exp().sum())
    sampled = gumbel_softmax.sample_log_gamma(LOG_CONCENTRATION, scalar(temperature), noise(50_000, 3))
    shares = torch.bincount(sampled.argmax(-1), minlength=3) / len(sampled)
    standard_error = (probabilities * (1 - probabilities) / len(sampled)).sqrt()
    assert ((shares - probabilities).abs() < 5 * standard_error).all()


@pytest.mark.parametrize(("q_temperature", "p_temperature"), [(0.5, 0.5), (0.3, 1.0), (2.0, 0.5)])
def test_monte_carlo_divergence_agrees_with_quadrature(q_temperature, p_temperature):
    q_concentration, p_concentration = LOG_CONCENTRATION[:2], torch.zeros(2, dtype=torch.float64)

    def integrand(score: float) -> float:
        log_q, log_p = (
            log_density_of_score(scalar(score), concentration, temperature, q_temperature)
            for concentration, temperature in ((q_concentration, q_temperature), (p_concentration, p_temperature))
        )
        return (log_q.exp() * (log_q - log_p)).item()

    exact, _ = integrate.quad(integrand, -40, 40)
    log_gamma = gumbel_softmax.sample_log_gamma(q_concentration, scalar(q_temperature), noise(100_000, 2))
    log_ratio = gumbel_softmax.log_prob(q_concentration, scalar(q_temperature), log_gamma) - gumbel_softmax.log_prob(
        p_concentration, scalar(p_temperature), log_gamma
    )
    assert abs(log_ratio.mean().item() - exact) < 5 * log_ratio.std().item() / math.sqrt(len(log_ratio))


def test_a_common_factor_of_the_concentrations_cancels():
    temperature, scaled = scalar(0.7), LOG_CONCENTRATION + 3.0
    log_gamma = gumbel_softmax.sample_log_gamma(LOG_CONCENTRATION, temperature, noise(20, 3))
    for function in (
        lambda log_s: gumbel_softmax.sample_log_gamma(log_s, temperature, noise(20, 3)),
        lambda log_s: gumbel_softmax.log_prob(log_s, temperature, log_gamma),
        gumbel_softmax.rounding_probabilities,
    ):
        torch.testing.assert_close(function(scaled), function(LOG_CONCENTRATION), rtol=1e-10, atol=1e-10)


def test_a_single_function_has_density_one():
    log_gamma = gumbel_softmax.sample_log_gamma(scalar(1.3)[None], scalar(0.5), noise(10, 1))
    assert (log_gamma == 0).all()
    assert (gumbel_softmax.log_prob(scalar(1.3)[None], scalar(0.5), log_gamma) == 0).all()


def test_single_precision_is_finite_at_low_temperature():
    log_concentration = torch.tensor([4.0, -4.0, 0.0], requires_grad=True)
    temperature = torch.tensor(0.05, requires_grad=True)
    ends = torch.tensor([[2.0**-33, 1 - 2.0**-24, 0.5], [1 - 2.0**-24, 2.0**-33, 0.5]])
    uniform = torch.cat((noise(1000, 3, torch.float32), ends))
    log_gamma = gumbel_softmax.sample_log_gamma(log_concentration, temperature, uniform)
    log_prob = gumbel_softmax.log_prob(log_concentration, temperature, log_gamma)
    assert log_gamma.isfinite().all()
    assert log_prob.isfinite().all()
    gradients = torch.autograd.grad(log_prob.sum(), (log_concentration, temperature))
    assert all(gradient.isfinite().all() for gradient in gradients)
    exact = gumbel_softmax.log_prob(log_concentration.double(), temperature.double(), log_gamma.double())
    torch.testing.assert_close(log_prob.double(), exact, rtol=1e-5, atol=1e-4)


def test_gumbel_noise_keeps_its_tails_in_single_precision():
    uniform = torch.tensor([2.0**-33, 1e-7, 0.3, 0.9, 1 - 2.0**-24], dtype=torch.float64)
    single, double = gumbel_softmax.gumbel(uniform.float()), gumbel_softmax.gumbel(uniform)
    torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(double, torch.from_numpy(stats.gumbel_r.isf(uniform.numpy())), rtol=1e-12, atol=1e-12)


def test_leading_axes_broadcast_and_gradients_are_right():
    members, samples, n_functions = 2, 3, 3
    log_concentration = torch.stack((LOG_CONCENTRATION, -LOG_CONCENTRATION)).unsqueeze(1).requires_grad_()
    temperature = torch.tensor([[0.5], [2.0]], dtype=torch.float64, requires_grad=True)
    uniform = noise(members * samples, n_functions).reshape(members, samples, n_functions)

    def log_prob_of_sample(log_concentration: Tensor, temperature: Tensor) -> Tensor:
        log_gamma = gumbel_softmax.sample_log_gamma(log_concentration, temperature, uniform)
        return gumbel_softmax.log_prob(log_concentration, temperature, log_gamma)

    together = log_prob_of_sample(log_concentration, temperature)
    assert together.shape == (members, samples)
    alone = gumbel_softmax.sample_log_gamma(log_concentration[1, 0], temperature[1, 0], uniform[1, 2])
    alone = gumbel_softmax.log_prob(log_concentration[1, 0], temperature[1, 0], alone)
    torch.testing.assert_close(together[1, 2], alone, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(log_prob_of_sample, (log_concentration, temperature))
    assert torch.autograd.gradgradcheck(log_prob_of_sample, (log_concentration, temperature))
