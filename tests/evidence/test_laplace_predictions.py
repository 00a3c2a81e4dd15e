"""Predictions by the linearised network, against J of one row after another and against quadrature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, population, start, structures
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import MultivariateNormal

from structflow.evidence.prediction import predict
from structflow.evidence.trained import TrainedPopulation

WIDTH, NEW = 2, 5
NETWORK = graph(
    {"x": (3,), "h": (4,), "y": (WIDTH,)},
    edge("x", "h", "one", fn("dense", activation="tanh"), fn("dense", activation="softplus")),
    edge("h", "y", "all", fn("linear")),
)
"""Two structures of 26 weights."""

X_NEW = normal(NEW, 3, seed=7)
SAMPLES = 20_000


def trained(likelihood: str, rows: int, **posterior: Any) -> TrainedPopulation:
    members = population(NETWORK, structures(NETWORK))
    bound = make_bound(
        members,
        likelihood,
        prior={"weights": {"precision": "per_function"}},
        posterior={"weights": {"type": "laplace", **posterior}},
        integrate=False,
    )
    parameters = {
        name: value + 0.3 * torch.sin(7.0 * torch.arange(value.numel(), dtype=DOUBLE)).reshape(value.shape)
        for name, value in start(bound).items()
    }
    y = normal(rows, WIDTH, seed=2)
    targets = {"gaussian": y, "bernoulli": (y > 0).double(), "poisson": y.abs().floor()}
    return TrainedPopulation(
        bound, bound.of_labels(parameters), keys_of(members), normal(rows, 3, seed=1), targets[likelihood], 0.5
    )


def slow_jacobian(members: TrainedPopulation, x: Tensor, member: int) -> Tensor:
    """J of one row after another, (rows, out, n)."""
    weights = members.weights

    def output(w: Tensor, row: int) -> Tensor:
        whole = weights.mean.clone()
        whole[member] = w
        return weights.outputs_at(whole.unsqueeze(1), x[row : row + 1])[member, 0, 0]

    return torch.stack([jacobian(lambda w, row=row: output(w, row), weights.mean[member]) for row in range(len(x))])


def slow_covariances(members: TrainedPopulation, member: int) -> Tensor:
    """J (Σ_i J_iᵀ Λ J_i + A)⁻¹ Jᵀ at the new rows under normal noise, (rows, out, out)."""
    precision = (-2 * members.parameters.theta.likelihood["log_noise"][member]).exp()
    of_data, of_new = slow_jacobian(members, members.x, member), slow_jacobian(members, X_NEW, member)
    h = torch.einsum("ron,o,rok->nk", of_data, precision, of_data)
    h = h + torch.diag(members.weights.log_precision[member].exp())
    return torch.einsum("ron,nk,rpk->rop", of_new, torch.linalg.inv(h), of_new)


@pytest.mark.parametrize("rows", [4, 40])
def test_under_normal_noise_they_are_in_closed_form(rows: int) -> None:
    """Mean f(x; w*), covariance J H⁻¹ Jᵀ + Σ and log density, to 1e-8 of the dense ones, by either form of H."""
    members = trained("gaussian", rows)
    y = normal(NEW, WIDTH, seed=8)
    found = predict(members, X_NEW, y, 1)
    assert found.log_prob is not None
    for member in range(2):
        mean = members.weights.outputs_at(members.weights.mean.unsqueeze(1), X_NEW)[member, 0]
        noise = (2 * members.parameters.theta.likelihood["log_noise"][member]).exp()
        covariance = slow_covariances(members, member) + torch.diag(noise)
        torch.testing.assert_close(found.mean[member], mean)
        expected = covariance.diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(found.variance[member], expected, rtol=1e-8, atol=1e-10)
        density = MultivariateNormal(mean, covariance).log_prob(y)
        torch.testing.assert_close(found.log_prob[member], density, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("rows", [4, 40])
def test_draws_of_outputs_are_those_of_the_linearised_network(rows: int) -> None:
    """Over 20,000 draws: mean f(x; w*) and covariance J H⁻¹ Jᵀ of every row, within five standard errors."""
    members = trained("gaussian", rows)
    f = torch.cat([each.mean for each in members.outputs(X_NEW, SAMPLES, "draws")], dim=1)
    assert f.shape == (2, SAMPLES, NEW, WIDTH)
    for member in range(2):
        away = f[member] - members.weights.outputs_at(members.weights.mean.unsqueeze(1), X_NEW)[member]
        expected = slow_covariances(members, member)
        variance = expected.diagonal(dim1=1, dim2=2)
        assert (away.mean(0).abs() < 5 * (variance / SAMPLES).sqrt()).all()
        products = torch.einsum("sro,srp->srop", away, away)
        error = products.std(0) / SAMPLES**0.5
        assert ((products.mean(0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_labels_and_counts_average_over_functions(likelihood: str) -> None:
    """E y over f ~ N(f(x; w*), J H⁻¹ Jᵀ): by Gauss-Hermite quadrature, within five standard errors of 20,000 draws."""
    members = trained(likelihood, 40)
    found = predict(members, X_NEW, None, SAMPLES)
    mean, covariance = members.linear_predictive(X_NEW)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    f = mean.unsqueeze(-1) + spread.unsqueeze(-1) * torch.from_numpy(nodes)
    of_f = f.sigmoid() if likelihood == "bernoulli" else f.exp()
    share = torch.from_numpy(weights / weights.sum())
    expected = (of_f * share).sum(-1)
    error = ((of_f.square() * share).sum(-1) - expected.square()).clamp(min=0).sqrt() / SAMPLES**0.5
    assert ((found.mean - expected).abs() < 5 * error + 1e-9).all()


def test_they_need_no_rows_once_the_curvature_is_known() -> None:
    """Without the training rows the predictions are the same numbers, in closed form and by draws."""
    members = trained("gaussian", 12)
    alone = replace(members.with_curvature(), x=members.x[:0], y=members.y[:0])
    before, after = predict(members, X_NEW, None, 1), predict(alone, X_NEW, None, 1)
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.variance, after.variance)
    drawn, again = (next(iter(each.outputs(X_NEW, 3, "draws"))).mean for each in (members, alone))
    assert torch.equal(drawn, again)


def test_the_diagonal_predicts_by_its_own_h() -> None:
    """J diag(1/H_kk) Jᵀ, to 1e-8."""
    members = trained("gaussian", 40, curvature="diagonal")
    _, covariance = members.linear_predictive(X_NEW)
    for member in range(2):
        precision = (-2 * members.parameters.theta.likelihood["log_noise"][member]).exp()
        of_data, of_new = slow_jacobian(members, members.x, member), slow_jacobian(members, X_NEW, member)
        h = torch.einsum("ron,o->n", of_data.square(), precision) + members.weights.log_precision[member].exp()
        expected = torch.einsum("ron,n,rpn->rop", of_new, 1 / h, of_new)
        torch.testing.assert_close(covariance[member], expected, rtol=1e-8, atol=1e-10)
