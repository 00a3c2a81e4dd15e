"""The kit fails for methods whose shapes are right and whose numbers are wrong, and spares kinks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from kit import messages

from structflow.plugins import BasisFunction, Estimate, EvidenceEstimator
from structflow.plugins.registry import Registry, registry
from structflow.testing import BasisExample, BasisFunctionTests
from structflow.testing.basis_subject import BasisSubject
from structflow.testing.evidence_value import PRECISIONS, SampledSlope, at_the_posterior, log_evidence, one_weight
from structflow.testing.numbers import DOUBLE

Hoag: Any = registry().get("hypergradients", "hoag")


def through_theta_times(factor: float, options: Any, point: Any) -> Any:
    """What hoag finds, with the part through θ* multiplied."""
    found, of_q = Hoag.gradient(options, point), point.outer_gradient()
    direct = torch.where(point.of_theta, torch.zeros_like(of_q), of_q)
    return replace(found, gradient=direct + factor * (found.gradient - direct))


class WrongSign(Hoag):
    """Adds the part through θ* with the wrong sign."""

    @staticmethod
    def gradient(options, point):
        return through_theta_times(-1.0, options, point)


class TenTimes(Hoag):
    """Takes the part through θ* ten times."""

    @staticmethod
    def gradient(options, point):
        return through_theta_times(10.0, options, point)


@pytest.mark.parametrize(("plugin", "kappa"), [(WrongSign, "-1"), (TenTimes, "10")])
def test_a_wrong_part_through_theta_is_caught(monkeypatch, plugin, kappa):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "hypergradients", plugin, None)
    assert set(found) == {"part_through_theta_has_sign_and_size"}
    assert f"κ = {kappa}, {kappa}, {kappa} for the members" in found["part_through_theta_has_sign_and_size"]


class AlwaysZero(EvidenceEstimator):
    """Says 0."""

    @staticmethod
    def estimate(options, trained, samples):
        return Estimate(torch.zeros(trained.size, dtype=DOUBLE), torch.zeros(trained.size, dtype=DOUBLE))


class LikelihoodOnly(EvidenceEstimator):
    """Forgets the KL."""

    @staticmethod
    def estimate(options, trained, samples):
        return Estimate.of_samples(terms.log_likelihood for terms in trained.sample_terms(samples, "without"))


class PlusDivergence(EvidenceEstimator):
    """Adds the KL."""

    @staticmethod
    def estimate(options, trained, samples):
        chunks = trained.sample_terms(samples, "plus")
        return Estimate.of_samples(terms.log_likelihood + terms.kl_weights for terms in chunks)


@pytest.mark.parametrize("plugin", [AlwaysZero, LikelihoodOnly, PlusDivergence])
def test_a_wrong_evidence_is_caught(monkeypatch, plugin):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower(), raising=False)
    assert set(messages(monkeypatch, "evidence_estimators", plugin, None)) == {"value_is_the_evidence"}


def test_every_sample_has_the_evidence_where_q_is_the_posterior():
    """log p(y, w) − log q(w) = log p(y) for each w then: here and in the closed form of the kit."""
    precisions = torch.tensor(PRECISIONS, dtype=DOUBLE)
    model = one_weight(SampledSlope)
    (terms,) = model.evaluated(at_the_posterior(model, precisions)).sample_terms(16, "test")
    torch.testing.assert_close(terms.bound, log_evidence(model, precisions).unsqueeze(1).expand(2, 16))
    assert bool((terms.kl_weights.mean(1) > 3).all()), terms.kl_weights.mean(1)


GumbelSoftmax: Any = registry().get("structure_distributions", "gumbel_softmax")


class Flat(GumbelSoftmax):
    """Has a log density of 0 everywhere."""

    @staticmethod
    def log_prob(space, log_concentration, temperature, coordinates):
        return 0 * temperature * (log_concentration * coordinates).sum(-1)


class IgnoresParameters(GumbelSoftmax):
    """Has the density for s = 1 and c = 1 always."""

    @staticmethod
    def log_prob(space, log_concentration, temperature, coordinates):
        return GumbelSoftmax.log_prob(space, 0 * log_concentration, 0 * temperature + 1, coordinates)


@pytest.mark.parametrize("plugin", [Flat, IgnoresParameters])
def test_a_density_without_parameters_is_caught(monkeypatch, plugin):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "structure_distributions", plugin, None)) == {"densities_move_samples"}


class Rectified(BasisFunction):
    """g(x; W, b) = max(0, xᵀW + b)."""

    type = "rectified"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {"weight": (*in_shape, *out_shape), "bias": out_shape}

    def forward(self, weights, x):
        return (x @ weights["weight"] + weights["bias"]).relu()


class FrozenSlope(Rectified):
    """tanh with the right gradient, which is held constant in the second derivative."""

    type = "frozen_slope"

    def forward(self, weights, x):
        z = x @ weights["weight"] + weights["bias"]
        value = z.tanh().detach()
        return value + (1 - value.square()) * (z - z.detach())


def test_kinks_are_no_wrong_curvature():
    """16 rows · 1000 outputs: at one point a central difference meets a kink in about one of seven shapes."""
    known = Registry()
    known.add("basis_functions", Rectified, "odd")
    registered = known.kinds["basis_functions"]["rectified"]
    for n_in in range(2, 22):
        BasisFunctionTests().test_curvature_exists(subject=BasisSubject(registered, BasisExample({}, (n_in,), (1000,))))


def test_a_wrong_curvature_is_caught(monkeypatch):
    found = messages(monkeypatch, "basis_functions", FrozenSlope, [BasisExample({}, (3,), (2,))])
    assert "from central differences" in found["curvature_exists"]
