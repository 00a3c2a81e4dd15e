"""Normal distributions over weights against torch.distributions in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from structflow.distributions import normal

MEMBERS, SAMPLES, N = 3, 5, 4
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def mean() -> Tensor:
    return draw(MEMBERS, N, seed=1)


@pytest.fixture
def log_sd() -> Tensor:
    return draw(MEMBERS, N, seed=2)


@pytest.fixture
def raw_cholesky() -> Tensor:
    return draw(MEMBERS, N, N, seed=3)


def prior(log_precision: Tensor) -> Independent:
    sd = (-0.5 * log_precision).exp().expand(MEMBERS, N)
    return Independent(Normal(torch.zeros_like(sd), sd), 1)


@pytest.mark.parametrize("n_precisions", [1, N])
def test_kl_of_diagonal_normals(mean, log_sd, n_precisions):
    log_precision = draw(MEMBERS, n_precisions, seed=4)
    expected = kl_divergence(Independent(Normal(mean, log_sd.exp()), 1), prior(log_precision))
    torch.testing.assert_close(normal.kl_diagonal(mean, log_sd, log_precision), expected, **TOLERANCE)


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_the_leading_axes_are_kept(keep):
    mean, log_sd, log_precision = draw(2, 3, 4), draw(2, 3, 4, seed=1), draw(2, 1, 1, seed=2)
    prior_sd = (-0.5 * log_precision).exp().expand_as(mean)
    terms = kl_divergence(Normal(mean, log_sd.exp()), Normal(torch.zeros_like(mean), prior_sd))
    expected = terms.sum(tuple(range(keep, 3))) if keep < 3 else terms
    torch.testing.assert_close(normal.kl_diagonal(mean, log_sd, log_precision, keep), expected, **TOLERANCE)


@pytest.mark.parametrize("n_precisions", [1, N])
def test_kl_of_full_covariance(mean, raw_cholesky, n_precisions):
    log_precision = draw(MEMBERS, n_precisions, seed=4)
    posterior = MultivariateNormal(mean, scale_tril=normal.cholesky_factor(raw_cholesky))
    prior_covariance = torch.diag_embed((-log_precision).exp().expand(MEMBERS, N))
    expected = kl_divergence(posterior, MultivariateNormal(torch.zeros_like(mean), prior_covariance))
    torch.testing.assert_close(normal.kl_cholesky(mean, raw_cholesky, log_precision), expected, **TOLERANCE)


def test_full_covariance_reduces_to_diagonal(mean, log_sd):
    log_precision = draw(MEMBERS, N, seed=4)
    torch.testing.assert_close(
        normal.kl_cholesky(mean, torch.diag_embed(log_sd), log_precision),
        normal.kl_diagonal(mean, log_sd, log_precision),
        **TOLERANCE,
    )


def test_kl_vanishes_at_the_prior():
    log_precision = draw(MEMBERS, N)
    kl = normal.kl_diagonal(torch.zeros_like(log_precision), -0.5 * log_precision, log_precision)
    torch.testing.assert_close(kl, torch.zeros_like(kl), **TOLERANCE)


def test_cholesky_factor_is_lower_triangular_with_positive_diagonal(raw_cholesky):
    factor = normal.cholesky_factor(raw_cholesky)
    assert torch.equal(factor, factor.tril())
    assert torch.equal(factor.tril(-1), raw_cholesky.tril(-1))
    assert torch.equal(factor.diagonal(dim1=-2, dim2=-1), raw_cholesky.diagonal(dim1=-2, dim2=-1).exp())


def test_log_densities_of_diagonal_normals(mean, log_sd):
    value, log_precision = draw(MEMBERS, SAMPLES, N, seed=5), draw(MEMBERS, 1, N, seed=4)
    mean, log_sd = mean.unsqueeze(1), log_sd.unsqueeze(1)
    torch.testing.assert_close(
        normal.log_prob_diagonal(value, mean, log_sd, keep=2),
        Normal(mean, log_sd.exp()).log_prob(value).sum(-1),
        **TOLERANCE,
    )
    torch.testing.assert_close(
        normal.log_prob_prior(value, log_precision, keep=2),
        Normal(torch.zeros_like(log_precision), (-0.5 * log_precision).exp()).log_prob(value).sum(-1),
        **TOLERANCE,
    )


def test_log_density_of_full_covariance(mean, raw_cholesky):
    noise = draw(MEMBERS, SAMPLES, N, seed=5)
    distribution = MultivariateNormal(mean.unsqueeze(1), scale_tril=normal.cholesky_factor(raw_cholesky).unsqueeze(1))
    expected = distribution.log_prob(normal.sample_cholesky(mean, raw_cholesky, noise))
    torch.testing.assert_close(normal.log_prob_of_noise(noise, raw_cholesky), expected, **TOLERANCE)


def test_the_density_survives_an_ill_conditioned_factor():
    """ε = (1, 1, 1) and L_ii = 1e-8, 1, 1e-8 under off-diagonals of 1e6: −3/2 + 16 log 10 − 3/2 log 2π."""
    raw = torch.full((1, 3, 3), 1e6, dtype=torch.float64)
    raw.diagonal(dim1=-2, dim2=-1).copy_(torch.tensor([1e-8, 1.0, 1e-8], dtype=torch.float64).log())
    found = normal.log_prob_of_noise(torch.ones(1, 1, 3, dtype=torch.float64), raw)
    expected = -1.5 + 16 * math.log(10) - 1.5 * math.log(2 * math.pi)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_samples_are_the_standardised_noise_transformed(mean, log_sd, raw_cholesky):
    noise = draw(MEMBERS, SAMPLES, N, seed=5)
    log_two_pi = torch.tensor(2 * torch.pi, dtype=torch.float64).log()
    standard = -0.5 * (noise.square() + log_two_pi).sum(-1)

    sample = normal.sample_diagonal(mean.unsqueeze(1), log_sd.unsqueeze(1), noise)
    log_prob = normal.log_prob_diagonal(sample, mean.unsqueeze(1), log_sd.unsqueeze(1), keep=2)
    torch.testing.assert_close(log_prob, standard - log_sd.sum(-1, keepdim=True), **TOLERANCE)

    sample = normal.sample_cholesky(mean, raw_cholesky, noise)
    expected = mean[1] + normal.cholesky_factor(raw_cholesky)[1] @ noise[1, 2]
    torch.testing.assert_close(sample[1, 2], expected, **TOLERANCE)


def test_monte_carlo_agrees_with_the_closed_form(mean, raw_cholesky):
    log_precision, n_samples = draw(MEMBERS, N, seed=4), 20_000
    noise = draw(MEMBERS, n_samples, N, seed=6)
    value = normal.sample_cholesky(mean, raw_cholesky, noise)
    log_ratio = normal.log_prob_of_noise(noise, raw_cholesky) - normal.log_prob_prior(
        value, log_precision.unsqueeze(1), keep=2
    )
    standard_error = log_ratio.std(1) / n_samples**0.5
    error = log_ratio.mean(1) - normal.kl_cholesky(mean, raw_cholesky, log_precision)
    assert (error.abs() < 5 * standard_error).all()


def test_vmap_over_members_equals_the_batch(mean, log_sd, raw_cholesky):
    log_precision = draw(MEMBERS, N, seed=4)
    one_diagonal = torch.func.vmap(lambda *arguments: normal.kl_diagonal(*arguments, keep=0))
    torch.testing.assert_close(
        one_diagonal(mean, log_sd, log_precision), normal.kl_diagonal(mean, log_sd, log_precision), **TOLERANCE
    )
    torch.testing.assert_close(
        torch.func.vmap(normal.kl_cholesky)(mean, raw_cholesky, log_precision),
        normal.kl_cholesky(mean, raw_cholesky, log_precision),
        **TOLERANCE,
    )


def test_gradients_are_right(mean, log_sd, raw_cholesky):
    noise, log_precision = draw(MEMBERS, SAMPLES, N, seed=5), draw(MEMBERS, N, seed=4)
    leaves = [tensor.clone().requires_grad_() for tensor in (mean, log_sd, raw_cholesky, log_precision)]

    def everything(mean: Tensor, log_sd: Tensor, raw_cholesky: Tensor, log_precision: Tensor) -> Tensor:
        return (
            normal.kl_diagonal(mean, log_sd, log_precision).sum()
            + normal.kl_cholesky(mean, raw_cholesky, log_precision).sum()
            + normal.log_prob_of_noise(noise, raw_cholesky).sum()
        )

    assert torch.autograd.gradcheck(everything, leaves)
