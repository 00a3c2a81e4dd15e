"""Estimates of log evidence: the same whatever the chunks and batch-mates, with honest standard errors."""

from __future__ import annotations

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
    normal,
    perturbed,
    pick,
    population,
    rich_graph,
    start,
    structures,
)
from torch.distributions import MultivariateNormal

from structflow.evidence import trained as trained_module
from structflow.evidence.trained import TrainedPopulation
from structflow.plugins import Estimate
from structflow.plugins.registry import registry

X, Y = normal(6, 3, seed=1), normal(6, 1, seed=2)
RICH = rich_graph()


def elbo(trained: TrainedPopulation, samples: int):
    registration = registry().of_kind("evidence_estimators")["elbo"]
    return registration.plugin.estimate(registration.options(), trained, samples)


def trained_at(members, change=perturbed, seed: int = 0, **settings) -> TrainedPopulation:
    """Members at their start, changed member by member in the same way wherever they stand."""
    bound = make_bound(members, **settings)
    return TrainedPopulation(bound, bound.of_labels(change(start(bound))), keys_of(members, seed), X, Y, 0.7)


@pytest.mark.parametrize("relaxed", [False, True])
def test_chunks_change_nothing(monkeypatch, relaxed):
    """37 samples at once, or in chunks of 1, 5 and 37."""
    members = population(RICH, [None] * 3 if relaxed else pick(structures(RICH), 3, 1), [0, 1, 2])
    trained = trained_at(members)
    whole = elbo(trained, 37)
    assert whole.value.shape == whole.standard_error.shape == (3,)
    assert (whole.standard_error > 0).all()
    for chunk in (1, 5):
        monkeypatch.setattr(trained_module, "CHUNK_NUMBERS", chunk * 3 * 6 * 3)
        assert [terms.bound.shape[1] for terms in trained.sample_terms(37, "elbo")] == [chunk] * (37 // chunk) + [
            37 % chunk
        ] * bool(37 % chunk)
        found = elbo(trained, 37)
        torch.testing.assert_close(found.value, whole.value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.standard_error, whole.standard_error, rtol=1e-10, atol=1e-12)


def test_batch_mates_change_nothing():
    chosen = pick(structures(RICH), 10, 1)
    together = elbo(trained_at(population(RICH, chosen), dict), 20)
    for member in (0, 4, 9):
        alone = elbo(trained_at(population(RICH, [chosen[member]]), dict), 20)
        torch.testing.assert_close(alone.value[0], together.value[member], rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(alone.standard_error[0], together.standard_error[member], rtol=1e-9, atol=1e-11)


def test_more_samples_begin_with_the_fewer():
    trained = trained_at(population(RICH, pick(structures(RICH), 2, 1)))
    few, many = (torch.cat([t.bound for t in trained.sample_terms(n, "elbo")], 1) for n in (4, 9))
    torch.testing.assert_close(many[:, :4], few, rtol=1e-12, atol=1e-12)
    (other,) = trained.sample_terms(4, "again")
    assert not torch.isclose(other.bound, few).all(1).any()


def test_standard_errors_are_calibrated():
    """200 independent estimates of one member: (estimate − mean)/se has variance 1, within 5 · √(2/199)."""
    structure = pick(structures(RICH), 1, 1)[0]
    members = population(RICH, [structure] * 200, list(range(200)))
    bound = make_bound(members)
    first = perturbed(start(make_bound(population(RICH, [structure]))))
    parameters = {name: value.expand(200, *value.shape[1:]).clone() for name, value in first.items()}
    found = elbo(TrainedPopulation(bound, bound.of_labels(parameters), keys_of(members), X, Y, 0.7), 100)
    standardised = (found.value - found.value.mean()) / found.standard_error
    assert abs(float(standardised.var()) - 1) < 5 * (2 / 199) ** 0.5


def test_a_model_linear_in_its_weights_has_the_evidence_without_error():
    """Full covariance at the exact posterior: log N(y; 0, Φ Φᵀ / A + σ² I) with A = 2, σ = 0.5, from one sample."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    members = population(of, structures(of))
    bound = make_bound(
        members,
        likelihood_options={"noise": 0.5},
        prior={"weights": {"precision": 2.0}},
        posterior={"weights": {"covariance": "full"}},
    )
    covariance = torch.linalg.inv(2 * torch.eye(3, dtype=DOUBLE) + X.T @ X / 0.25)
    L = torch.linalg.cholesky(covariance)
    parameters = {
        "mean": (covariance @ X.T @ Y / 0.25).T,
        "cholesky": (L.tril(-1) + L.diagonal().log().diag()).unsqueeze(0),
    }
    found = elbo(TrainedPopulation(bound, bound.of_labels(parameters), keys_of(members), X, Y, 0.7), 256)
    prior = X @ X.T / 2 + 0.25 * torch.eye(6, dtype=DOUBLE)
    evidence = MultivariateNormal(torch.zeros(6, dtype=DOUBLE), prior).log_prob(Y[:, 0])
    torch.testing.assert_close(found.value, evidence.reshape(1), rtol=0, atol=1e-9)
    assert found.standard_error.tolist() == [0.0]


def test_an_estimate_of_samples():
    """1, 2, 3, 6: mean 3, variance (4+1+0+9)/3, error √(14/3/4); a single sample has none."""
    chunks = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]])]
    found = Estimate.of_samples(iter(chunks))
    assert found.value.item() == 3
    np.testing.assert_allclose(found.standard_error.item(), (14 / 12) ** 0.5)
    single = Estimate.of_samples([torch.tensor([[5.0]])])
    assert [single.value.item(), single.standard_error.item()] == [5.0, 0.0]


def test_reading_samples_leaves_gradients_switched_on():
    """Between two chunks, whoever reads them may want gradients of its own."""
    trained = trained_at(population(RICH, pick(structures(RICH), 2, 1)))
    for terms in trained.sample_terms(3, "elbo"):
        assert not terms.bound.requires_grad
        assert torch.is_grad_enabled()
