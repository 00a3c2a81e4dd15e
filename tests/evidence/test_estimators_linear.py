"""Estimators of log evidence where it has a closed form: models linear in their weights, with normal noise."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, perturbed, population, start, structures
from torch.distributions import MultivariateNormal

from structflow.builtin.evidence_estimators import annealed_importance
from structflow.evidence.trained import TrainedPopulation
from structflow.plugins import Estimate
from structflow.plugins.registry import registry

NOISE, PRECISION = 0.5, 2.0
X = normal(20, 3, seed=1)
Y = X @ torch.tensor([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], dtype=DOUBLE) + NOISE * normal(20, 2, seed=2)
SUBSETS = graph(
    {"x": (3,), "y": (2,)}, edge("x", "y", "any", fn("linear"), fn("polynomial", degree=2), fn("constant"), smallest=1)
)
"""Seven structures, with 2 to 24 weights."""


def estimated(name: str, trained: TrainedPopulation, samples: int = 256, **options: Any) -> Estimate:
    registration = registry().of_kind("evidence_estimators")[name]
    found = registration.plugin.estimate(registration.options.model_validate(options), trained, samples)
    assert isinstance(found, Estimate)
    return found


def trained_at(members, y=Y, likelihood=None, parameters=None, **settings) -> TrainedPopulation:
    bound = make_bound(
        members, likelihood_options={"noise": NOISE} if likelihood is None else likelihood, prior=PRIOR, **settings
    )
    values = perturbed(start(bound)) if parameters is None else parameters(bound)
    return TrainedPopulation(bound, bound.of_labels(values), keys_of(members), X, y, 0.7)


PRIOR = {"weights": {"precision": PRECISION}}


def log_evidence(phi: torch.Tensor, y: torch.Tensor, noise: float = NOISE) -> float:
    """Σ over targets of log N(y; 0, Φ Φᵀ / A + σ² I)."""
    covariance = phi @ phi.T / PRECISION + noise**2 * torch.eye(len(phi), dtype=DOUBLE)
    return sum(float(MultivariateNormal(torch.zeros(len(phi), dtype=DOUBLE), covariance).log_prob(c)) for c in y.T)


def features(functions: tuple[str, ...]) -> torch.Tensor:
    """Φ of the functions of one structure: x and 1; 1, x and x² of every input; 1."""
    one = torch.ones(len(X), 1, dtype=DOUBLE)
    parts = {"linear": [X, one], "polynomial:2": [one, X, X.square()], "constant": [one]}
    return torch.cat([part for name in functions for part in parts[name]], dim=1)


def mean_field(bound: Any) -> dict[str, torch.Tensor]:
    """The mean-field optimum of `PLAIN`, with deviations half as large again: α_i = 1.5² / Λ_ii, μ = Λ⁻¹ Xᵀ y / σ²."""
    precision = X.T @ X / NOISE**2 + PRECISION * torch.eye(3, dtype=DOUBLE)
    mean = torch.linalg.solve(precision, X.T @ Y[:, :1] / NOISE**2)
    log_sd = (1.5 * precision.diagonal().rsqrt()).log()
    values = {"mean": mean.flatten(), "log_sd": log_sd}
    return {name: values[name.partition("/")[0]].expand_as(value).clone() for name, value in start(bound).items()}


PLAIN = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
EVIDENCE = log_evidence(X, Y[:, :1])


def plain(**settings: Any) -> TrainedPopulation:
    """Two members of one structure, the second with noise of its own."""
    return trained_at(population(PLAIN, structures(PLAIN) * 2, [0, 1]), Y[:, :1], parameters=mean_field, **settings)


def test_exact_equals_the_dense_formula():
    """Seven structures with 2 to 24 weights in one batch, from anywhere: to 1e-8 nats."""
    members = population(SUBSETS, structures(SUBSETS))
    expected = [log_evidence(features(dict(m.structure.edges)["x->y"]), Y) for m in members.members]
    found = estimated("exact", trained_at(members))
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-8)
    assert found.standard_error.tolist() == [0.0] * 7
    assert not found.missing


def test_laplace_equals_the_exact_evidence():
    """The bar is 0.05 nats; the normal posterior leaves nothing but rounding and the search's own tolerance, 1e-6."""
    trained = trained_at(population(SUBSETS, structures(SUBSETS)))
    exact = estimated("exact", trained).value
    for hessian in ("full", "ggn"):
        found = estimated("laplace", trained, hessian=hessian)
        torch.testing.assert_close(found.value, exact, rtol=0, atol=1e-6)


def test_the_diagonal_costs_what_hadamard_says():
    """Below the evidence by ½ (Σ log H_ii − log |H|), H = ΦᵀΦ/σ² + A I for each target."""
    members = population(SUBSETS, structures(SUBSETS))
    trained = trained_at(members)
    found = estimated("exact", trained).value - estimated("laplace", trained, hessian="diagonal").value
    for gap, member in zip(found.tolist(), members.members, strict=True):
        phi = features(dict(member.structure.edges)["x->y"])
        h = phi.T @ phi / NOISE**2 + PRECISION * torch.eye(phi.shape[1], dtype=DOUBLE)
        assert gap == pytest.approx(float(h.diagonal().log().sum() - torch.logdet(h)), abs=1e-6)  # two targets, ½ each


def test_a_learned_noise_stays_as_trained():
    """σ = 0.8 in log_noise, not what the data would choose."""

    def parameters(bound):
        return {**perturbed(start(bound)), "likelihood/log_noise": torch.full((1, 2), math.log(0.8), dtype=DOUBLE)}

    linear = graph({"x": (3,), "y": (2,)}, edge("x", "y", "all", fn("linear", bias=False)))
    trained = trained_at(population(linear, structures(linear)), likelihood={}, parameters=parameters)
    for name in ("exact", "laplace"):
        assert estimated(name, trained).value.item() == pytest.approx(log_evidence(X, Y, 0.8), abs=1e-6)


@pytest.mark.parametrize("options", [{"temperatures": 100}, {"temperatures": 30, "from": "posterior"}])
def test_annealing_equals_the_exact_evidence(options):
    """The bar is 0.2 nats; the standard errors are below 0.1."""
    found = estimated("ais", plain(), chains=512, **options)
    assert (found.value - EVIDENCE).abs().max() < 0.2
    assert found.standard_error.max() < 0.1


def test_the_power_schedule_has_the_same_evidence():
    found = estimated("ais", plain(), chains=128, temperatures=100, schedule="power")
    assert ((found.value - EVIDENCE).abs() < 4 * found.standard_error).all()


def test_annealed_chains_are_the_same_in_chunks(monkeypatch):
    """Chains of 10 at once, or three at a time: to rounding. The pilots are as many in both cases."""
    monkeypatch.setattr(annealed_importance, "MOST_PILOTS", 2)
    whole = estimated("ais", plain(), chains=10, temperatures=4)
    monkeypatch.setattr(annealed_importance, "CHUNK_NUMBERS", 3 * 2 * 20 * 3)
    parts = estimated("ais", plain(), chains=10, temperatures=4)
    torch.testing.assert_close(parts.value, whole.value, rtol=1e-10, atol=1e-10)


def test_the_importance_weighted_bound_rises_to_the_evidence():
    """k = 1 is the bound with all weights sampled, −KL(q ‖ posterior) below; every tenfold k is higher; all stay below.

    KL of N(μ, D) from N(μ, Λ⁻¹) is ½ (tr Λ D − n − log |Λ D|).
    """
    trained = plain()
    precision = X.T @ X / NOISE**2 + PRECISION * torch.eye(3, dtype=DOUBLE)
    product = precision @ (1.5**2 / precision.diagonal()).diag()
    divergence = 0.5 * (product.trace() - 3 - torch.logdet(product))
    found = [estimated("iwelbo", trained, 60_000, k=k) for k in (1, 10, 100, 1000)]
    assert ((found[0].value - (EVIDENCE - divergence)).abs() < 4 * found[0].standard_error).all()
    for lower, higher in pairwise(found):
        assert (higher.value > lower.value).all()
    for each in found:
        assert (each.value < EVIDENCE + 4 * each.standard_error).all()
    assert (found[-1].value > EVIDENCE - 0.02).all()
    assert float(divergence) > 0.5


def test_chunks_of_samples_change_nothing(monkeypatch):
    whole = estimated("iwelbo", plain(), 40, k=8)
    monkeypatch.setattr("structflow.builtin.evidence_estimators.importance_weighted.CHUNK_NUMBERS", 7 * 2 * 20 * 3)
    parts = estimated("iwelbo", plain(), 40, k=8)
    torch.testing.assert_close(parts.value, whole.value, rtol=1e-12, atol=1e-12)


def test_few_samples_are_still_repeated():
    """64 samples under one logarithm, 16 asked for: two repetitions, whose spread is no error; eight have one."""
    found = estimated("iwelbo", plain(), 16, k=64)
    assert found.standard_error.isnan().all()
    assert "mean of 2 repetitions" in found.unsure[0]
    assert "set evidence.samples to 512 or more" in found.unsure[1]
    assert (estimated("iwelbo", plain(), 512, k=64).standard_error > 0).all()


def test_the_mean_of_weights_and_its_jackknife():
    """Weights 1, 2, 3: log 2; leaving one out log 5/2, log 2, log 3/2, and √(⅔ Σ of their squared deviations)."""
    found = annealed_importance.of_log_weights(torch.tensor([[1.0, 2.0, 3.0]], dtype=DOUBLE).log() - 700)
    without = np.log([2.5, 2.0, 1.5])
    expected = math.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert found.value.item() == pytest.approx(math.log(2) - 700, abs=1e-12)
    assert found.standard_error.item() == pytest.approx(expected, rel=1e-9)


def test_schedules():
    """(t/4)⁴; a sigmoid of 4 (2 t/4 − 1), moved and stretched to 0 and 1."""
    options = registry().of_kind("evidence_estimators")["ais"].options
    power = annealed_importance.schedule(options(temperatures=4, schedule="power"))
    assert power == pytest.approx([0, 1 / 256, 1 / 16, 81 / 256, 1])
    sigmoid = [1 / (1 + math.exp(-4 * (t / 2 - 1))) for t in range(5)]
    expected = [(s - sigmoid[0]) / (sigmoid[4] - sigmoid[0]) for s in sigmoid]
    assert annealed_importance.schedule(options(temperatures=4)) == pytest.approx(expected)


def test_the_kind_of_posterior_is_of_no_account_to_laplace_and_exact():
    """A full covariance and a point at other means give the evidence as well."""
    for weights in ({"covariance": "full"}, {"type": "point"}):
        trained = trained_at(population(PLAIN, structures(PLAIN) * 2, [0, 1]), Y[:, :1], posterior={"weights": weights})
        for name in ("exact", "laplace"):
            np.testing.assert_allclose(estimated(name, trained).value, [EVIDENCE] * 2, rtol=0, atol=1e-6)
