"""Weights held at zero: the bound is that of the model without them, and nothing has a gradient by them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from handmade import (
    DOUBLE,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    noise_of,
    normal,
    perturbed,
    population,
    start,
    structures,
)

from structflow.evidence.complexity import complexities, informative_weights
from structflow.evidence.trained import TrainedPopulation
from structflow.objective.bound import Bound, BoundInputs, Terms
from structflow.objective.kept_weights import KeptWeights
from structflow.objective.parameters import Named, Parameters

LEFT = [0, 2]
X, Y = normal(20, 4, seed=1), normal(20, 1, seed=2)
C_TEMP = torch.tensor(0.5, dtype=DOUBLE)
POSTERIORS: dict[str, dict[str, str]] = {
    "diagonal": {}, "full": {"covariance": "full"}, "point": {"type": "point"}
}  # fmt: skip


def linear(inputs: int, posterior: str, grouping: str = "shared", integrate: bool = True) -> Bound:
    """y from so many inputs by a linear function without a bias, with a noise of ½."""
    of = graph({"x": (inputs,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    return make_bound(
        population(of, structures(of)),
        likelihood_options={"noise": 0.5},
        prior={"weights": {"precision": grouping}},
        posterior={"weights": POSTERIORS[posterior]},
        integrate=integrate,
    )


def pair(posterior: str, grouping: str = "shared", integrate: bool = True) -> tuple[Bound, Named, Bound, Named]:
    """The model of four inputs with weights 1 and 3 removed, and that of inputs 0 and 2 with the same numbers."""
    whole, part = linear(4, posterior, grouping, integrate), linear(2, posterior, grouping, integrate)
    parameters = perturbed(start(whole))
    kept = torch.zeros(1, 4, dtype=DOUBLE)
    kept[:, LEFT] = 1
    smaller = {}
    for name, value in parameters.items():
        smaller[name] = value
        if name == "cholesky":
            smaller[name] = value[:, LEFT][:, :, LEFT]
        elif value.ndim > 1:
            smaller[name] = value[:, LEFT]
    return whole, {**parameters, "kept/x->y/linear": kept}, part, smaller


def terms(bound: Bound, parameters: Named, x: torch.Tensor) -> Terms:
    noise = noise_of(bound, keys_of(bound.population), 3)
    return bound.terms(
        bound.of_labels(parameters),
        BoundInputs(noise, x, Y, C_TEMP, bound.population.indices, torch.tensor(1.0, dtype=DOUBLE)),
    )


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("grouping", ["shared", "per_function", "per_parameter"])
def test_the_bound_is_that_of_the_model_without_them(posterior: str, grouping: str) -> None:
    """Of a linear model in closed form, to 1e-12; of a point KL stands for −log p(w) of the two weights."""
    whole, parameters, part, smaller = pair(posterior, grouping)
    found, expected = terms(whole, parameters, X), terms(part, smaller, X[:, LEFT])
    torch.testing.assert_close(found.log_likelihood, expected.log_likelihood, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.kl_weights, expected.kl_weights, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_samples_have_them_at_zero(posterior: str) -> None:
    """log q − log p of every draw has nothing of the removed weights: it is that of the drawn two, by hand."""
    whole, parameters, _, _ = pair(posterior, integrate=False)
    noise = noise_of(whole, keys_of(whole.population), 5)
    kept = KeptWeights.of(whole.of_labels(parameters), whole.weights)
    assert kept is not None
    masked = kept.masked(whole.of_labels(parameters))
    draw = kept.draw(whole.weights.draw(masked, whole.normals.unpack(noise.normals)))
    w = draw.weights[0]["weight"][0, :, :, 0]
    assert (w[:, [1, 3]] == 0).all()
    indices = whole.population.indices
    found = whole.sample_terms(whole.of_labels(parameters), BoundInputs(noise, X, Y, C_TEMP, indices))
    held = whole.labelled(masked)
    if posterior == "full":
        mean, raw = held["mean"][0, LEFT], held["cholesky"][0][LEFT][:, LEFT]
        scale = raw.tril(-1) + torch.diag_embed(raw.diagonal().exp())
    else:
        mean = held["mean/x->y/linear"][0, LEFT]
        scale = torch.diag(held["log_sd/x->y/linear"][0, LEFT].exp())
    q = torch.distributions.MultivariateNormal(mean, scale_tril=scale).log_prob(w[:, LEFT])
    spread = (-0.5 * parameters["log_precision"]).exp()
    p = torch.distributions.Normal(torch.zeros_like(spread), spread).log_prob(w[:, LEFT]).sum(1)
    torch.testing.assert_close(found.kl_weights[0], q - p, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_nothing_has_a_gradient_by_them(posterior: str) -> None:
    whole, parameters, _, _ = pair(posterior, "per_parameter", integrate=False)

    def total(given: Named) -> torch.Tensor:
        return terms(whole, given, X).bound.sum()

    slopes = torch.func.grad(total)(parameters)
    assert not slopes.pop("kept/x->y/linear").any()
    for name, slope in slopes.items():
        removed = slope[:, [1, 3]] if name != "cholesky" else torch.cat([slope[0, [1, 3]], slope[0, :, [1, 3]].mT])
        assert not removed.any(), name
        assert slope.any(), name


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("grouping", ["shared", "per_function", "per_parameter"])
def test_complexities_don_t_count_them(posterior: str, grouping: str) -> None:
    """C_param and −Σ ln ρ are those of the model of two weights, and so is the number of informed weights."""
    whole, parameters, part, smaller = pair(posterior, grouping)
    kept = KeptWeights.of(whole.of_labels(parameters), whole.weights)
    assert kept is not None

    def trained(bound: Bound, given: Parameters, x: torch.Tensor) -> TrainedPopulation:
        return TrainedPopulation(bound, given, keys_of(bound.population), x, Y, 0.5)

    one = trained(whole, kept.masked(whole.of_labels(parameters)), X)
    two = trained(part, part.of_labels(smaller), X[:, LEFT])
    found, expected = complexities(one, 16), complexities(two, 16)
    for name in ("c_param", "relative_density"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=1e-12)
    assert informative_weights(one, 0.1).tolist() == informative_weights(two, 0.1).tolist()


def test_vectors_of_weights_leave_them_out() -> None:
    """Of the four places two are used: densities are those of two weights, outputs don't see the others."""
    whole, parameters, part, smaller = pair("full", integrate=False)
    given = whole.of_labels(parameters)
    kept: Any = KeptWeights.of(given, whole.weights)
    one = TrainedPopulation(whole, kept.masked(given), keys_of(whole.population), X, Y, 0.5).weights
    two = TrainedPopulation(part, part.of_labels(smaller), keys_of(part.population), X[:, LEFT], Y, 0.5).weights
    assert one.used.tolist() == [[True, False, True, False]]
    w = normal(1, 3, 4, seed=5)
    for method in ("log_likelihood", "log_prior", "log_posterior", "outputs"):
        torch.testing.assert_close(getattr(one, method)(w), getattr(two, method)(w[..., LEFT]), rtol=1e-10, atol=1e-10)
    assert (one.draws(4, "test")[..., [1, 3]] == 0).all()
