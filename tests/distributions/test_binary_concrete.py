"""Binary Concrete variables on the cube: density against quadrature and torch, samples against the density."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import RelaxedBernoulli

from structflow.distributions import binary_concrete
from structflow.distributions.counter_noise import member_key, uniforms

TEMPERATURES = [0.2, 0.5, 1.0, 2.0, 5.0]
LOG_ODDS = torch.tensor([1.1, -0.7, 0.0], dtype=torch.float64)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def noise(n_samples: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return uniforms(torch.tensor([member_key("binary-concrete")]), 0, 0, n_samples, (3,), dtype)[0]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_density_integrates_to_one(temperature):
    def density(score: float) -> float:
        logit = scalar(score / temperature)[None]
        return binary_concrete.log_prob(LOG_ODDS[:1], scalar(temperature), logit).exp().item() / temperature

    assert integrate.quad(density, -40, 40)[0] == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_density_agrees_with_torch(temperature):
    logit = binary_concrete.sample_logit(LOG_ODDS, scalar(1.0), noise(50))
    over_logits = RelaxedBernoulli(scalar(temperature), logits=LOG_ODDS)
    expected = over_logits.base_dist.log_prob(logit).sum(-1)
    found = binary_concrete.log_prob(LOG_ODDS, scalar(temperature), logit)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    gamma = binary_concrete.log_gamma(logit).exp()
    log_jacobian = (gamma.log() + torch.log1p(-gamma)).sum(-1)
    over_gamma = over_logits.log_prob(gamma).sum(-1)
    torch.testing.assert_close(found - log_jacobian, over_gamma, rtol=1e-8, atol=1e-8)


def test_density_is_the_formula():
    temperature, logit = scalar(0.7), torch.tensor([-30.0, 2.0, 30.0], dtype=torch.float64)
    scores = LOG_ODDS - temperature * logit
    expected = (temperature.log() + scores - 2 * torch.log1p(scores.exp())).sum()
    torch.testing.assert_close(binary_concrete.log_prob(LOG_ODDS, temperature, logit), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_samples_follow_the_logistic_distribution(temperature):
    logit = binary_concrete.sample_logit(LOG_ODDS, scalar(temperature), noise(50_000))
    for column, log_odds in enumerate(LOG_ODDS.tolist()):
        exact = stats.logistic(loc=log_odds / temperature, scale=1 / temperature)
        assert stats.kstest(logit[:, column].numpy(), exact.cdf).pvalue > 1e-3
        log_prob = binary_concrete.log_prob(LOG_ODDS[column, None], scalar(temperature), logit[:5, column, None])
        assert log_prob.tolist() == pytest.approx(exact.logpdf(logit[:5, column].numpy()).tolist())


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_rounding_probabilities(temperature):
    probabilities = binary_concrete.rounding_probabilities(LOG_ODDS)
    torch.testing.assert_close(probabilities, LOG_ODDS.exp() / (1 + LOG_ODDS.exp()))
    log_gamma = binary_concrete.log_gamma(binary_concrete.sample_logit(LOG_ODDS, scalar(temperature), noise(50_000)))
    shares = (log_gamma.exp() > 0.5).double().mean(0)
    standard_error = (probabilities * (1 - probabilities) / len(log_gamma)).sqrt()
    assert ((shares - probabilities).abs() < 5 * standard_error).all()


def test_single_precision_is_finite_at_low_temperature():
    log_odds, temperature = torch.tensor([8.0, -8.0, 0.0], requires_grad=True), torch.tensor(0.05, requires_grad=True)
    uniform = torch.cat((noise(1000, torch.float32), torch.tensor([[2.0**-33, 1 - 2.0**-24, 0.5]])))
    logit = binary_concrete.sample_logit(log_odds, temperature, uniform)
    log_prob = binary_concrete.log_prob(log_odds, temperature, logit)
    assert binary_concrete.log_gamma(logit).isfinite().all()
    assert log_prob.isfinite().all()
    gradients = torch.autograd.grad(log_prob.sum(), (log_odds, temperature))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_monte_carlo_divergence_agrees_with_quadrature():
    q_temperature, p_temperature, p_log_odds = scalar(0.4), scalar(1.0), torch.zeros(3, dtype=torch.float64)

    def integrand(logit: float, column: slice) -> float:
        point = scalar(logit)[None]
        log_q = binary_concrete.log_prob(LOG_ODDS[column], q_temperature, point)
        return (log_q.exp() * (log_q - binary_concrete.log_prob(p_log_odds[column], p_temperature, point))).item()

    exact = sum(integrate.quad(integrand, -100, 100, (slice(column, column + 1),))[0] for column in range(3))
    logit = binary_concrete.sample_logit(LOG_ODDS, q_temperature, noise(100_000))
    log_ratio = binary_concrete.log_prob(LOG_ODDS, q_temperature, logit) - binary_concrete.log_prob(
        p_log_odds, p_temperature, logit
    )
    assert abs(log_ratio.mean().item() - exact) < 5 * log_ratio.std().item() / math.sqrt(len(log_ratio))


def test_leading_axes_broadcast_and_gradients_are_right():
    log_odds = torch.stack((LOG_ODDS, -LOG_ODDS)).unsqueeze(1).requires_grad_()
    temperature = torch.tensor([[0.5], [2.0]], dtype=torch.float64, requires_grad=True)
    uniform = noise(8).reshape(2, 4, 3)

    def log_prob_of_half_the_sample(log_odds: Tensor, temperature: Tensor) -> Tensor:
        logit = binary_concrete.sample_logit(log_odds, temperature, uniform)
        return binary_concrete.log_prob(log_odds, temperature, 0.5 * logit)

    assert log_prob_of_half_the_sample(log_odds, temperature).shape == (2, 4)
    assert torch.autograd.gradcheck(log_prob_of_half_the_sample, (log_odds, temperature))
    assert torch.autograd.gradgradcheck(log_prob_of_half_the_sample, (log_odds, temperature))
