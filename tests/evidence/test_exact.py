"""The estimator `exact` against the closed form in 120 digits, over many decades of every scale; what it refuses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
import studies
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, normal, population, start, structures

from structflow.evidence.trained import TrainedPopulation
from structflow.plugins import Estimate
from structflow.plugins.registry import registry

DECADES = [1e-9, 1e-4, 1.0, 1e4, 1e9]
PAIRS = list(itertools.product(DECADES, DECADES))
"""(σ, A) of 25 members: together they span 18 decades of noise and 18 of the prior's precision."""


def closed_form(phi: np.ndarray, y: np.ndarray, noise: float, precision: float) -> float:
    """Σ over targets of log N(y; 0, Φ Φᵀ / A + σ² I) in 120 digits."""
    with mpmath.workdps(120):
        rows, features = len(phi), mpmath.matrix(phi.tolist())
        covariance = features * features.T / mpmath.mpf(precision) + mpmath.mpf(noise) ** 2 * mpmath.eye(rows)
        root = mpmath.cholesky(covariance)
        log_determinant = 2 * mpmath.fsum(mpmath.log(root[i, i]) for i in range(rows))
        total = mpmath.mpf(0)
        for column in y.T:
            target = mpmath.matrix(column.tolist())
            square = (target.T * mpmath.lu_solve(covariance, target))[0]
            total -= (square + log_determinant + rows * mpmath.log(2 * mpmath.pi)) / 2
        return float(total)


def with_scales(
    graph_of: Any, x: torch.Tensor, y: torch.Tensor, pairs: Sequence[tuple[float, float]], **posterior: Any
):
    """One member for every (σ, A), at a q that has learned nothing."""
    members = population(graph_of, structures(graph_of) * len(pairs), list(range(len(pairs))))
    prior = {"weights": {"precision": "shared"}}
    bound = make_bound(members, likelihood_options={"noise": "learned"}, prior=prior, posterior={"weights": posterior})
    parameters = start(bound)
    noise, precision = (torch.tensor(column, dtype=DOUBLE).log() for column in zip(*pairs, strict=True))
    own = parameters["likelihood/log_noise"]
    parameters["likelihood/log_noise"] = noise.reshape(-1, 1).expand_as(own).clone()
    parameters["log_precision"] = precision.reshape(parameters["log_precision"].shape)
    return TrainedPopulation(bound, bound.of_labels(parameters), keys_of(members), x, y, 0.7)


def exact(trained: TrainedPopulation) -> Estimate:
    found: Estimate = registry().get("evidence_estimators", "exact").estimate(None, trained, 1)
    return found


def rounded(values: Sequence[float]) -> list[float]:
    """σ and A as they come back from their logarithms."""
    return torch.tensor(values, dtype=DOUBLE).log().exp().tolist()


@pytest.mark.parametrize(("rows", "columns"), [(7, 2), (4, 6)])
@pytest.mark.parametrize("spread", [1.0, 1e6], ids=["alike", "graded"])
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_it_is_the_closed_form_over_eighteen_decades(rows, columns, spread, size):
    """Noise, weights and targets from 1e-9 to 1e9; inputs alike, or from 1e-6 to 1e6; more rows than columns, or fewer.

    Wherever there is a value it is within 0.01 nats and the error that is stated; at most one in five has none, all of
    them because of rounding, and only where A σ² is beyond 1e-17 of the inputs' squares.
    """
    scales = spread ** np.linspace(-1, 1, columns)
    x = normal(rows, columns, seed=1).numpy() * scales
    y = size * ((x / scales).sum(1, keepdims=True) + 0.1 * normal(rows, 1, seed=2).numpy())
    linear = graph({"x": (columns,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    found = exact(with_scales(linear, torch.from_numpy(x), torch.from_numpy(y), PAIRS))
    assert len(found.missing) <= 5
    assert all(reason.startswith("rounding") for reason in found.missing.values())
    checked = 0
    for number, (noise, precision) in enumerate(zip(*map(rounded, zip(*PAIRS, strict=True)), strict=True)):
        if number in found.missing:
            assert precision * noise**2 < 1e-17 * float(np.square(x).max())
            continue
        expected = closed_form(x, y, noise, precision)
        allowed = 0.01 + float(found.standard_error[number])
        assert float(found.value[number]) == pytest.approx(expected, rel=0, abs=allowed), (noise, precision)
        assert float(found.standard_error[number]) <= 0.01 + 1e-8 * abs(expected)
        checked += 1
    assert checked >= 20


@pytest.mark.parametrize("posterior", [{"covariance": "diagonal"}, {"covariance": "full"}, {"type": "point"}])
def test_nothing_depends_on_the_posterior(posterior):
    """Two targets, a member with σ = 0.3 and one with σ = 0.01: whatever q is like."""
    x, y = normal(9, 3, seed=3), normal(9, 2, seed=4)
    linear = graph({"x": (3,), "y": (2,)}, edge("x", "y", "all", fn("linear")))
    pairs = [(0.3, 2.0)] if posterior.get("covariance") == "full" else [(0.3, 2.0), (0.01, 50.0)]
    found = exact(with_scales(linear, x, y, pairs, **posterior))
    phi = np.hstack([np.ones((9, 1)), x.numpy()])
    expected = [closed_form(phi, y.numpy(), noise, precision) for noise, precision in pairs]
    assert found.value.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_powers_of_inputs_that_are_not_standardised(size):
    """Powers to the fifth of inputs near 1e-3, 1 and 1e3: features from 1e-15 to 1e15 beside each other."""
    x = size * (1 + 0.1 * normal(12, 1, seed=5))
    y = normal(12, 1, seed=6)
    powers = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("polynomial", degree=5)))
    pairs = [(0.5, 1.0), (0.01, 1e-4)]
    found = exact(with_scales(powers, x, y, pairs))
    phi = np.hstack([x.numpy() ** power for power in range(6)])
    expected = [closed_form(phi, y.numpy(), noise, precision) for noise, precision in pairs]
    for value, error, wanted in zip(found.value.tolist(), found.standard_error.tolist(), expected, strict=True):
        assert value == pytest.approx(wanted, abs=0.01 + error)
        assert error < 0.1


def test_more_rows_than_a_part_of_them(monkeypatch):
    """The decomposition of parts of the rows is that of all: 40 rows, seven at a time."""
    from structflow.builtin.evidence_estimators import linear_model

    x, y = normal(40, 3, seed=7), normal(40, 1, seed=8)
    linear = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    whole = exact(with_scales(linear, x, y, [(0.4, 1.0)]))
    monkeypatch.setattr(linear_model, "CHUNK_NUMBERS", 7 * 4 * 3)
    torch.testing.assert_close(exact(with_scales(linear, x, y, [(0.4, 1.0)])).value, whole.value, atol=1e-10, rtol=0)


TANH = [edge("x", "y", "all", fn("dense", activation="tanh"))]
RELU = [edge("x", "y", "all", fn("dense", activation="relu"))]
LAYERS = [edge("x", "h", "all", fn("linear")), edge("h", "y", "all", fn("linear"))]
MOSTLY_LINEAR = [edge("x", "y", "all", fn("linear"), fn("dense", activation="tanh"))]


@pytest.mark.parametrize("edges", [TANH, RELU, LAYERS, MOSTLY_LINEAR])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_models_that_are_not_linear_have_no_value(edges, size):
    """Whatever the noise and the weights, and beside inputs that make a linear part large."""
    x, y = size * normal(9, 2, seed=9), normal(9, 1, seed=10)
    layers = graph({"x": (2,), **({"h": (2,)} if len(edges) == 2 else {}), "y": (1,)}, *edges)
    pairs = [(1e-4, 1.0), (1.0, 1.0), (1e4, 1e-2)]
    found = exact(with_scales(layers, x, y, pairs))
    assert bool(found.value.isnan().all())
    reason = "the model isn't linear in its weights, so that its evidence has no closed form"
    assert found.missing == dict.fromkeys(range(3), reason)


@pytest.mark.parametrize(("likelihood", "targets"), [("poisson", [0.0, 3.0, 1.0]), ("bernoulli", [0.0, 1.0, 1.0])])
def test_other_noise_has_no_value(likelihood, targets):
    linear = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    members = population(linear, structures(linear))
    bound = make_bound(members, likelihood=likelihood, prior={"weights": {"precision": 1.0}})
    y = torch.tensor(targets, dtype=DOUBLE).unsqueeze(1)
    found = exact(TrainedPopulation(bound, bound.of_labels(start(bound)), keys_of(members), normal(3, 2), y, 0.7))
    assert found.missing == {0: "the noise isn't normal, so that the evidence has no closed form"}


def test_the_best_polynomial_is_not_left_out(tmp_path):
    """A quadratic truth among degrees 1, 2 and 3: all are ranked, by the closed form at their own precision."""
    data = {"source": "synthetic", "rows": 60, "inputs": 2, "formula": "1 + 2*x0 - x1 + 0.6*x0**2", "noise": 0.3}
    basis = ["linear", {"type": "polynomial", "degree": 2}, {"type": "polynomial", "degree": 3}]
    model = {
        **studies.model([{"from": "x", "to": "y", "basis": basis}]),
        "likelihood": {"type": "gaussian", "noise": 0.3},
    }
    document = studies.spec(
        data=data, model=model, posterior={"weights": {"covariance": "full"}},
        optimizer={"inner": {"steps": 10}, "restarts": 1}, evidence={"estimators": ["exact", "elbo"]},
    )  # fmt: skip
    run = studies.run(document, tmp_path / "run")
    degrees = {"linear": 1, "polynomial:2": 2, "polynomial:3": 3}
    assert {entry["structure"]["x->y"][0] for entry in run.ranking} == set(degrees)
    assert run.ranking[0]["structure"]["x->y"] == ["polynomial:2"]
    assert run.summary["warnings"] == []
    dataset = run.context.study.dataset
    x, y = (part.astype(np.float64) for part in dataset.train())
    shift = dataset.n_train * float(np.log(dataset.target_scale).sum())
    for entry in run.ranking:
        degree, found = degrees[entry["structure"]["x->y"][0]], entry["hyperparameters"]
        phi = np.hstack([np.ones((len(x), 1)), *(x**power for power in range(1, degree + 1))])
        noise, precision = 0.3 / float(dataset.target_scale[0]), math.exp(found["log_precision"])
        covariance = phi @ phi.T / precision + noise**2 * np.eye(len(x))
        sign, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        expected = -0.5 * (float((y.T @ np.linalg.solve(covariance, y))[0, 0]) + log_determinant) - shift
        assert sign == 1
        assert entry["evidence"]["exact"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["exact", "laplace"])
def test_a_constant_alone_is_a_linear_model(name):
    """f is one number for all rows: log N(y; 0, 1 1ᵀ / A + σ² I)."""
    x, y = normal(9, 2, seed=11), normal(9, 1, seed=12)
    constant = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", fn("constant")))
    registration = registry().of_kind("evidence_estimators")[name]
    options = registration.options.model_validate({} if name == "exact" else {"hessian": "ggn"})
    found = registration.plugin.estimate(options, with_scales(constant, x, y, [(0.5, 2.0)]), 1)
    assert not found.missing
    assert float(found.value[0]) == pytest.approx(closed_form(np.ones((9, 1)), y.numpy(), 0.5, 2.0), abs=1e-6)


@pytest.mark.parametrize("name", ["exact", "laplace", "ais", "sgd_entropy"])
@pytest.mark.parametrize("posterior", [{"covariance": "diagonal"}, {"covariance": "full"}, {"type": "point"}])
def test_the_evidence_without_weights_is_the_likelihood(name, posterior):
    """f = 0 for all rows: Σ log N(y; 0, σ²), by every estimator, without an error where it states one."""
    x, y = normal(9, 2, seed=13), normal(9, 1, seed=14)
    nothing = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", fn("zero")))
    members = population(nothing, structures(nothing))
    bound = make_bound(members, likelihood_options={"noise": 0.5}, posterior={"weights": posterior})
    trained = TrainedPopulation(bound, bound.of_labels(start(bound)), keys_of(members), x, y, 0.7)
    registration = registry().of_kind("evidence_estimators")[name]
    few = {"ais": {"temperatures": 4, "chains": 2}, "sgd_entropy": {"restarts": 2}}.get(name, {})
    options = registration.options.model_validate(few) if registration.options else None
    found = registration.plugin.estimate(options, trained, 4)
    assert not found.missing
    expected = -0.5 * float(y.square().sum()) / 0.25 - 9 * (math.log(0.5) + 0.5 * math.log(2 * math.pi))
    assert float(found.value[0]) == pytest.approx(expected, abs=1e-9)
    assert not float(found.standard_error[0]) > 0
