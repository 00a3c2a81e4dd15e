"""The low-rank posterior against torch's normal distribution and the evidence of a linear model."""

from __future__ import annotations

import math

import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, noise_of, normal, population, start, structures
from torch.distributions import LowRankMultivariateNormal

from structflow.builtin.weight_posteriors.low_rank import LowRank, LowRankOptions
from structflow.objective.bound import BoundInputs
from structflow.train.linear_fits import end_at_posterior, start_at_posterior
from structflow.train.linear_structures import Level

ONE = torch.ones((), dtype=DOUBLE)
SCALES = [1e-3, 1.0, 1e3]


def parameters_of(size: int, rank: int, scale: float, ratio: float = 1.0) -> dict[str, torch.Tensor]:
    """√D of about the scale, V of about `ratio` times it."""
    return {
        "mean": scale * normal(size, seed=1),
        "log_sd": 0.3 * normal(size, seed=2) + math.log(scale),
        "columns": ratio * scale * normal(size, rank, seed=3),
    }


def reference(parameters: dict[str, torch.Tensor]) -> LowRankMultivariateNormal:
    return LowRankMultivariateNormal(parameters["mean"], parameters["columns"], (2 * parameters["log_sd"]).exp())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_density_and_entropy_are_those_of_torch(scale, rank):
    parameters = parameters_of(6, rank, scale)
    noise = normal(6 + rank, seed=4)
    weights = LowRank.draw(None, parameters, noise)
    expected = reference(parameters).log_prob(weights)
    torch.testing.assert_close(LowRank.log_prob(None, parameters, weights), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(LowRank.log_prob_of_draw(None, parameters, noise), expected, rtol=1e-10, atol=1e-10)
    entropy = reference(parameters).entropy()
    torch.testing.assert_close(LowRank.entropy(None, parameters), entropy, rtol=1e-10, atol=1e-10)
    columns = LowRank.columns(None, parameters)
    covariance = reference(parameters).covariance_matrix
    torch.testing.assert_close(columns @ columns.mT, covariance, rtol=1e-12, atol=0)


def test_the_density_of_a_draw_keeps_its_digits():
    """V a million times √D: −½(|ε − U δ|² + |ζ + δ|²) against arithmetic of 60 digits, to 1e-9."""
    import mpmath

    mpmath.mp.dps = 60
    parameters, noise = parameters_of(4, 2, 1.0, ratio=1e6), normal(6, seed=4)
    d = mpmath.diag([mpmath.exp(2 * mpmath.mpf(float(value))) for value in parameters["log_sd"]])
    v = mpmath.matrix(parameters["columns"].tolist())
    covariance = d + v * v.T
    root = mpmath.diag([mpmath.exp(mpmath.mpf(float(value))) for value in parameters["log_sd"]])
    away = root * mpmath.matrix(noise[:4].tolist()) + v * mpmath.matrix(noise[4:].tolist())
    square = (away.T * mpmath.lu_solve(covariance, away))[0]
    expected = -(square + mpmath.log(mpmath.det(covariance)) + 4 * mpmath.log(2 * mpmath.pi)) / 2
    found = float(LowRank.log_prob_of_draw(None, parameters, noise))
    assert found == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [2, 5, 12])
def test_rank_n_minus_1_holds_every_covariance(scale, size):
    """Σ = λ I + V Vᵀ with the least eigenvalue λ: the nearest q has the covariance itself."""
    root = normal(size, size + 2, seed=5) / scale
    precision = root @ root.mT
    found = LowRank.nearest(LowRankOptions(rank=size - 1), torch.zeros(size, dtype=DOUBLE), precision)
    columns = LowRank.columns(None, found)
    torch.testing.assert_close(columns @ columns.mT @ precision, torch.eye(size, dtype=DOUBLE), rtol=0, atol=1e-6)


def linear_bound(posterior: dict[str, object]):
    of = graph({"x": (4,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    return make_bound(
        population(of, structures(of)),
        likelihood_options={"noise": 0.5},
        prior={"weights": {"precision": 2.0}},
        posterior={"weights": posterior},
    )


def bound_of(posterior: dict[str, object]) -> tuple[float, float]:
    """The bound of five correlated weights where training starts, and the nats that are left to gain there."""
    mixed = normal(4, 4, seed=6) + 2
    x = normal(20, 4, seed=7) @ mixed
    y = x.sum(1, keepdim=True) + 0.5 * normal(20, 1, seed=8)
    bound = linear_bound(posterior)
    level = Level(x, y)
    found = start_at_posterior(bound, bound.of_labels(start(bound)), level)
    _, left = end_at_posterior(bound, found, found, level, moved=False)
    noise = noise_of(bound, keys_of(bound.population), 1)
    return float(bound.terms(found, BoundInputs(noise, x, y, ONE, bound.population.indices, ONE)).bound[0]), float(
        left[0]
    )


def test_the_bound_rises_with_the_rank_to_the_evidence():
    """T3 of docs/theory.md: with five weights, rank 4 has the bound of a full covariance, which is the evidence."""
    exact, _ = bound_of({"type": "full"})
    mean_field, _ = bound_of({"type": "diagonal"})
    values, left = zip(*(bound_of({"type": "low_rank", "rank": rank}) for rank in (1, 2, 3, 4)), strict=True)
    assert mean_field < values[0] < exact
    assert list(values) == sorted(values)
    assert values[-1] == pytest.approx(exact, abs=1e-6)
    assert max(left) < 1e-3
