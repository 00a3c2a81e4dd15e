"""Criteria of relevance against closed forms, and what is left once weights are removed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, perturbed, population, start, structures
from torch.distributions import Normal, kl_divergence

from structflow.errors import CallError, PluginError
from structflow.evidence.removal import (
    bound_without,
    draws_without,
    kept_after,
    kept_divergence,
    removal_places,
)
from structflow.evidence.removal_curve import CurveRows, CurveSettings, removal_curves
from structflow.evidence.trained import TrainedPopulation
from structflow.evidence.weight_names import weight_names
from structflow.plugins import Relevance
from structflow.plugins.registry import registry

LINEAR = graph({"x": (4,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
BENT = graph({"x": (3,), "h": (2,), "y": (1,)}, edge("x", "h", "all", fn("dense")), edge("h", "y", "all", fn("linear")))
X, Y = normal(30, 4, seed=1), normal(30, 1, seed=2)


def trained_at(of: Any, x: torch.Tensor, restarts: int = 1, **settings: Any) -> TrainedPopulation:
    members = population(of, structures(of) * restarts, list(range(restarts)))
    bound = make_bound(members, **settings)
    return TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), x, Y, 0.5)


def order(criterion: str, trained: TrainedPopulation) -> list[list[int]]:
    """The weights of every member in the order of their removal."""
    vectors = trained.weights
    places = removal_places(registry().get("relevances", criterion), None, vectors, vectors.used)
    return places.argsort(dim=1, stable=True).tolist()


def with_covariance(covariance: torch.Tensor) -> TrainedPopulation:
    """The linear model under q(w) = N(1, Σ)."""
    trained = trained_at(LINEAR, X, posterior={"weights": {"covariance": "full"}})
    factor = torch.linalg.cholesky(covariance)
    raw = factor.tril(-1) + torch.diag_embed(factor.diagonal().log())
    own = trained.parameters.theta.weights[0]
    own["cholesky"], own["mean"] = raw.unsqueeze(0), torch.ones(1, 4, dtype=DOUBLE)
    return trained


def test_optimal_brain_damage_is_the_rise_of_a_quadratic_loss() -> None:
    """f = xᵀw, σ = ½: −log p is quadratic, so ½ w_i² Σ_r x_ri²/σ² is loss(w without i) − loss(w) less its slope."""
    trained = trained_at(LINEAR, X, likelihood_options={"noise": 0.5})
    vectors = trained.weights
    w = vectors.mean[0]
    scores = registry().get("relevances", "optimal_brain_damage").scores(None, vectors, vectors.used)[0]
    torch.testing.assert_close(scores, 0.5 * w**2 * (X**2).sum(0) / 0.25, rtol=1e-10, atol=1e-12)

    def loss(at: torch.Tensor) -> torch.Tensor:
        return -vectors.log_likelihood(at[None, None])[0, 0]

    slope = torch.func.grad(loss)(w)
    for number in range(4):
        without = w.clone()
        without[number] = 0
        rise = loss(without) - loss(w) + slope[number] * w[number]
        assert float(scores[number]) == pytest.approx(float(rise), rel=1e-9)


def test_optimal_brain_damage_takes_the_diagonal_of_the_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bent network: H by torch.func.hessian of the loss, whatever number of weights is differentiated at a time."""
    trained = trained_at(BENT, X[:, :3], restarts=2)
    vectors = trained.weights
    plugin = registry().get("relevances", "optimal_brain_damage")
    whole = plugin.scores(None, vectors, vectors.used)
    for member in range(2):

        def loss(at: torch.Tensor, member: int = member) -> torch.Tensor:
            rows = vectors.mean.unsqueeze(1).index_put((torch.tensor(member), torch.tensor(0)), at)
            return -vectors.log_likelihood(rows)[member, 0]

        hessian = torch.func.hessian(loss)(vectors.mean[member])
        expected = 0.5 * vectors.mean[member] ** 2 * hessian.diagonal()
        torch.testing.assert_close(whole[member], expected, rtol=1e-9, atol=1e-9)
    monkeypatch.setattr("structflow.builtin.relevances.optimal_brain_damage.MOST_NUMBERS", 1)
    torch.testing.assert_close(plugin.scores(None, vectors, vectors.used), whole, rtol=1e-12, atol=1e-12)


def test_graves_goes_by_signal_over_spread() -> None:
    """|μ|/√α of 2/1, 0.3/0.1, −1/4 and 0/1 is 2, 3, ¼, 0: the order is 3, 2, 0, 1."""
    trained = trained_at(LINEAR, X)
    own = trained.parameters.theta.weights[0]
    own["mean"] = torch.tensor([[2.0, 0.3, -1.0, 0.0]], dtype=DOUBLE)
    spread = torch.tensor([1.0, 0.1, 4.0, 1.0], dtype=DOUBLE)
    own["log_sd"] = spread.log().reshape(1, 4)
    assert order("graves", trained) == [[3, 2, 0, 1]]


def test_belsley_takes_one_of_a_collinear_pair_first() -> None:
    """Weights 1 and 3 have a correlation of −0.99, 0 and 2 of 0.5: first one of 1, 3, then one of 0, 2.

    Scales don't matter: they are those of the standardised covariance. With equal shares the first of a pair goes.
    """
    correlation = torch.eye(4, dtype=DOUBLE)
    correlation[1, 3] = correlation[3, 1] = -0.99
    correlation[0, 2] = correlation[2, 0] = 0.5
    scale = torch.tensor([1.0, 20.0, 0.1, 3.0], dtype=DOUBLE)
    found = order("belsley", with_covariance(correlation * scale.outer(scale)))[0]
    assert found[0] in (1, 3)
    assert found[1] in (0, 2)


def test_belsley_by_a_slow_loop() -> None:
    """A random covariance, removed weight by weight with NumPy's eigh as the formula is written; the last two tie."""
    root = normal(4, 4, seed=7)
    covariance = root @ root.T + 0.1 * torch.eye(4, dtype=DOUBLE)
    left, expected = [0, 1, 2, 3], []
    while left:
        part = covariance.numpy()[np.ix_(left, left)]
        scale = np.sqrt(np.diag(part))
        values, vectors = np.linalg.eigh(part / np.outer(scale, scale))
        worst = int(np.argmax(values.max() / values))
        share = (vectors[:, worst] ** 2 / values[worst]) / (vectors**2 / values).sum(1)
        expected.append(left.pop(int(np.argmax(share))))
    assert order("belsley", with_covariance(covariance))[0][:2] == expected[:2]


def test_posteriors_that_don_t_hold_what_is_needed_are_refused() -> None:
    diagonal = trained_at(LINEAR, X).weights
    with pytest.raises(CallError, match="needs a full covariance"):
        registry().get("relevances", "belsley").scores(None, diagonal, diagonal.used)
    point = trained_at(LINEAR, X, posterior={"weights": {"type": "point"}}).weights
    with pytest.raises(CallError, match="got a point"):
        registry().get("relevances", "graves").scores(None, point, point.used)


def test_random_orders_are_the_members_own() -> None:
    """Two restarts have other orders, and each the same alone."""
    together = order("random", trained_at(BENT, X[:, :3], restarts=2))
    assert together[0] != together[1]
    assert order("random", trained_at(BENT, X[:, :3]))[0] == together[0]
    assert sorted(together[0]) == list(range(11))


def test_a_share_of_the_weights_that_a_member_has() -> None:
    """Members of 5 and 3 weights in places of 5: 40 % are 2 and 1 (1.2 rounded)."""
    places = torch.tensor([[3, 0, 1, 4, 2], [2, 0, 1, 5, 5]])
    kept = kept_after(places, 0.4)
    assert kept.tolist() == [[True, False, False, True, True], [True, False, True, False, False]]
    assert kept_after(places, 0.0).sum(1).tolist() == [5, 3]
    assert kept_after(places, 1.0).sum().item() == 0


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_bound_without_weights_is_that_of_the_smaller_model(covariance: str) -> None:
    """The model of x0 and x2 alone, under the marginal q of its two weights, has this bound in closed form."""
    settings = {"posterior": {"weights": {"covariance": covariance}}, "likelihood_options": {"noise": 0.5}}
    vectors = trained_at(LINEAR, X, **settings).weights
    kept = torch.tensor([[True, False, True, False]])
    left = [0, 2]
    mean = vectors.mean[0, left]
    sigma = torch.diag(vectors.variance[0]) if vectors.covariance is None else vectors.covariance[0]
    part = sigma[left][:, left]
    a = vectors.log_precision[0, left].exp()
    features = X[:, left]
    expected = Normal(features @ mean, 0.5).log_prob(Y[:, 0]).sum()
    expected = expected - 0.5 / 0.25 * torch.einsum("ri,ij,rj->", features, part, features)
    trace = (a * part.diagonal()).sum() + (a * mean**2).sum()
    kl = 0.5 * (trace - 2 - a.log().sum() - torch.linalg.slogdet(part).logabsdet)
    torch.testing.assert_close(kept_divergence(vectors, kept)[0], kl, rtol=1e-10, atol=1e-10)
    found = bound_without(vectors, kept, draws_without(vectors, kept, 4_000, "test"))
    assert abs(float(found.value[0] - (expected - kl))) < 5 * float(found.standard_error[0])


def test_nothing_removed_leaves_the_bound() -> None:
    """With all weights the bound is that of the population, within 5 errors; its divergence is torch's."""
    trained = trained_at(BENT, X[:, :3], restarts=2)
    vectors = trained.weights
    found = bound_without(vectors, vectors.used, draws_without(vectors, vectors.used, 4_000, "test"))
    usual = torch.cat([terms.bound for terms in trained.sample_terms(4_000, "other")], 1)
    error = (found.standard_error.square() + usual.var(1) / 4_000).sqrt()
    assert ((found.value - usual.mean(1)).abs() < 5 * error).all()
    prior = Normal(torch.zeros(1, dtype=DOUBLE), (-0.5 * vectors.log_precision).exp())
    kl = kl_divergence(Normal(vectors.mean, vectors.variance.sqrt()), prior).sum(1)
    torch.testing.assert_close(kept_divergence(vectors, vectors.used), kl, rtol=1e-10, atol=1e-10)


def test_noise_on_the_inputs_of_a_linear_model() -> None:
    """A point of q: E rmse² = rmse² + σ² |w_kept|², within 5 %; σ = 0 leaves the metric; removed weights stay at 0."""
    x, y = normal(4_000, 4, seed=3), normal(4_000, 1, seed=4)
    trained = trained_at(LINEAR, X, posterior={"weights": {"type": "point"}})
    vectors = trained.weights
    settings = CurveSettings((0.0, 0.5, 1.0), 2, (0.0, 2.0), (0.0, 0.5), perturbations=4)
    places = torch.tensor([[0, 3, 1, 2]])
    (curve,) = removal_curves(vectors, places, {"train": CurveRows(x, y)}, settings)
    plain = curve.metrics["train"]["rmse"]
    assert curve.removed == [0, 2, 4]
    assert all(np.isnan(curve.bound))
    for number, left in enumerate(([0, 1, 2, 3], [1, 3], [])):
        w = vectors.mean[0, left]
        base = float((y[:, 0] - x[:, left] @ w).square().mean())
        assert plain[number] == pytest.approx(base**0.5)
        noisy = curve.input_noise["2"]["rmse"][number] ** 2
        assert noisy == pytest.approx(base + 4 * float(w.square().sum()), rel=0.05)
    assert curve.input_noise["0"]["rmse"] == pytest.approx(plain)
    assert curve.weight_noise["0"]["rmse"] == pytest.approx(plain)
    assert curve.weight_noise["0.5"]["rmse"][2] == pytest.approx(plain[2])
    assert curve.weight_noise["0.5"]["rmse"][0] != pytest.approx(plain[0])


def test_scores_that_are_no_numbers_name_the_criterion() -> None:
    vectors = trained_at(LINEAR, X).weights
    nothing: Any = type("Nothing", (Relevance,), {"type": "nothing", "scores": lambda o, w, k: w.mean * torch.nan})
    with pytest.raises(PluginError, match=r"relevance 'nothing' of package .* broke its contract: scores returned NaN"):
        removal_places(nothing, SimpleNamespace(), vectors, vectors.used)


def test_weights_have_names() -> None:
    trained = trained_at(BENT, X[:, :3])
    names = weight_names(trained.bound.population, 0)
    assert len(names) == len(set(names)) == 11
    assert "x->h/dense:tanh.weight[2,1]" in names
    assert "h->y/linear.bias[0]" in names
