"""Normal distributions over weights against torch.distributions in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

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


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_the_leading_axes_are_kept(keep):
    value, mean, log_sd = draw(2, 3, 4, seed=2), draw(2, 3, 4), draw(2, 3, 4, seed=1)
    terms = Normal(mean, log_sd.exp()).log_prob(value)
    expected = terms.sum(tuple(range(keep, 3))) if keep < 3 else terms
    torch.testing.assert_close(normal.log_prob_diagonal(value, mean, log_sd, keep), expected, **TOLERANCE)


def test_cholesky_factor_is_lower_triangular_with_positive_diagonal(raw_cholesky):
    factor = normal.cholesky_factor(raw_cholesky)
    assert torch.equal(factor, factor.tril())
    assert torch.equal(factor.tril(-1), raw_cholesky.tril(-1))
    assert torch.equal(factor.diagonal(dim1=-2, dim2=-1), raw_cholesky.diagonal(dim1=-2, dim2=-1).exp())


def test_log_density_of_a_diagonal_normal(mean, log_sd):
    value, mean, log_sd = draw(MEMBERS, SAMPLES, N, seed=5), mean.unsqueeze(1), log_sd.unsqueeze(1)
    torch.testing.assert_close(
        normal.log_prob_diagonal(value, mean, log_sd, keep=2),
        Normal(mean, log_sd.exp()).log_prob(value).sum(-1),
        **TOLERANCE,
    )


def test_log_density_of_full_covariance(mean, raw_cholesky):
    noise = draw(MEMBERS, SAMPLES, N, seed=5)
    factor, mean = normal.cholesky_factor(raw_cholesky), mean.unsqueeze(1)
    expected = MultivariateNormal(mean, scale_tril=factor.unsqueeze(1)).log_prob(mean + noise @ factor.mT)
    torch.testing.assert_close(normal.log_prob_of_noise(noise, raw_cholesky), expected, **TOLERANCE)


def test_the_density_survives_an_ill_conditioned_factor():
    """ε = (1, 1, 1) and L_ii = 1e-8, 1, 1e-8 under off-diagonals of 1e6: −3/2 + 16 log 10 − 3/2 log 2π."""
    raw = torch.full((1, 3, 3), 1e6, dtype=torch.float64)
    raw.diagonal(dim1=-2, dim2=-1).copy_(torch.tensor([1e-8, 1.0, 1e-8], dtype=torch.float64).log())
    found = normal.log_prob_of_noise(torch.ones(1, 1, 3, dtype=torch.float64), raw)
    expected = -1.5 + 16 * math.log(10) - 1.5 * math.log(2 * math.pi)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_gradients_are_right(mean, log_sd, raw_cholesky):
    value, noise = draw(MEMBERS, N, seed=4), draw(MEMBERS, SAMPLES, N, seed=5)
    leaves = [tensor.clone().requires_grad_() for tensor in (mean, log_sd, raw_cholesky)]

    def everything(mean: Tensor, log_sd: Tensor, raw_cholesky: Tensor) -> Tensor:
        densities = normal.log_prob_diagonal(value, mean, log_sd)
        return densities.sum() + normal.log_prob_of_noise(noise, raw_cholesky).sum()

    assert torch.autograd.gradcheck(everything, leaves)
