"""Linear members at the maximum of the bound, for every likelihood and over many scales, against scipy's maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
    best_end,
    best_start,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    noise_of,
    perturbed,
    population,
    start,
    structures,
)
from linear_references import (
    bernoulli_rows,
    best_bound,
    best_gaussian_bound,
    bound_at,
    gaussian_bound,
    poisson_rows,
)
from scipy.optimize import minimize

from structflow.objective.bound import Bound, BoundInputs
from structflow.train import linear_structures as linear_structures_module
from structflow.train.linear_structures import Level, linear_structures

SCALES = [1e-6, 1e-3, 1.0, 1e3, 1e6]
ONE = torch.ones((), dtype=DOUBLE)


def linear_bound(likelihood: str, inputs: int, outputs: int = 1, bias: bool = True, **settings: Any) -> Bound:
    of = graph({"x": (inputs,), "y": (outputs,)}, edge("x", "y", "all", fn("linear", bias=bias)))
    return make_bound(population(of, structures(of)), likelihood, **settings)


def fitted(
    bound: Bound, x: np.ndarray, y: np.ndarray, **level: Any
) -> tuple[Mapping[str, torch.Tensor], np.ndarray, np.ndarray]:
    """The parameters after the start, and the means and log standard deviations of q(w), weights before biases."""
    at = Level(torch.from_numpy(x), torch.from_numpy(y.reshape(len(y), -1)), **level)
    found = best_start(bound, start(bound), at)
    group = bound.population.layout.groups[0]
    mean, log_sd = (
        torch.cat(
            [value[0].reshape(-1, *bound.out_shape) for value in group.split(found[f"{kind}/{group.name}"]).values()]
        )
        for kind in ("mean", "log_sd")
    )
    return found, mean.squeeze(1).numpy(), log_sd.squeeze(1).numpy()


def objective_of(bound: Bound, parameters: Mapping[str, torch.Tensor], x: np.ndarray, y: np.ndarray) -> float:
    """The bound that training maximises, where nothing in it is random."""
    assert bound.is_exact
    noise = noise_of(bound, keys_of(bound.population), 1)
    targets = torch.from_numpy(y.reshape(len(y), -1))
    terms = bound.terms(
        bound.of_labels(parameters),
        BoundInputs(noise, torch.from_numpy(x), targets, ONE, bound.population.indices, ONE),
    )
    return float((terms.bound + terms.log_hyperprior)[0])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("learned", [False, True])
def test_gaussian_noise_and_inputs_of_any_scale(scale, covariance, learned):
    """Inputs are of the scale, noise of its inverse, with targets ten times as large: the closed form, to 1e-4."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2)) * [scale, 3 * scale]
    y = (10 * x[:, 0] / scale + 5 + rng.normal(size=30)) / scale
    design = np.column_stack([x, np.ones(30)])
    precision = scale**2 * 1e-2
    bound = linear_bound(
        "gaussian",
        2,
        likelihood_options={"noise": "learned" if learned else 1 / scale},
        prior={"weights": {"precision": "shared" if learned else precision}},
        posterior={"weights": {"covariance": covariance}},
    )
    at = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_train=1.0)
    found = objective_of(bound, best_start(bound, start(bound), at), x, y)
    if learned:
        expected = best_gaussian_bound(design, y, covariance == "diagonal", None, None)
    else:
        expected = gaussian_bound(design, y, math.log(precision), -math.log(scale), covariance == "diagonal")
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("mean", [1.0, 10.0, 30.0, 100.0, 1e4, 1e9])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_counts_of_any_size(mean, scale):
    """One Newton step from f = 0 would be the rate e^(y − 1). Precisions are such that a slope of 1 counts little."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, size=(40, 1)) * scale
    y = rng.poisson(mean * np.exp(0.3 * x[:, 0] / scale)).astype(float)
    bound = linear_bound("poisson", 1, prior={"weights": {"precision": 1e-2}})
    parameters, *_ = fitted(bound, x, y)
    design = np.column_stack([x, np.ones(40)])
    expected = best_bound(design, poisson_rows(y), math.log(1e-2))
    assert objective_of(bound, parameters, x, y) == pytest.approx(expected, abs=1e-4, rel=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("learned", [False, True])
def test_labels_over_inputs_of_any_scale(scale, learned):
    """The best normal q of a logistic regression, its expectations by quadrature over one variable."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 1)) * scale
    y = (rng.random(30) < 1 / (1 + np.exp(-2 * x[:, 0] / scale - 0.5))).astype(float)
    precision = None if learned else math.log(0.1 * scale**2)
    prior = "shared" if precision is None else math.exp(precision)
    bound = linear_bound("bernoulli", 1, bias=False, prior={"weights": {"precision": prior}})
    parameters, mean, log_sd = fitted(bound, x, y, c_train=1.0)
    at = float(parameters["log_precision"][0]) if precision is None else precision
    found = bound_at(x, bernoulli_rows(y), at, mean, log_sd)
    assert found == pytest.approx(best_bound(x, bernoulli_rows(y), precision), abs=1e-4)


@pytest.mark.parametrize("scale", SCALES)
def test_two_classes_over_inputs_of_any_scale(scale):
    """log softmax(f)_1 = −log(1 + e^(f_0 − f_1)): with two classes a row's expectation is over f_1 − f_0."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 1)) * scale
    y = (rng.random(30) < 1 / (1 + np.exp(-2 * x[:, 0] / scale))).astype(float)
    precision = math.log(0.1 * scale**2)
    bound = linear_bound("categorical", 1, outputs=2, bias=False, prior={"weights": {"precision": math.exp(precision)}})
    at = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]))
    parameters = best_start(bound, start(bound), at)
    mean, log_sd = (parameters[f"{kind}/x->y/linear"].flatten().numpy() for kind in ("mean", "log_sd"))
    found = bound_at(np.hstack([-x, x]), bernoulli_rows(y), precision, mean, log_sd)
    expected = best_bound(np.hstack([-x, x]), bernoulli_rows(y), precision)
    assert found == pytest.approx(expected, abs=2e-3)  # its expectations are by quasi-random points


def test_more_weights_than_rows_are_solved_by_rows():
    """50 rows, 500 columns: the mean of H⁻¹Φ by a matrix of 50 × 50, against one of 501 × 501."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 500))
    y = x[:, 0] + x[:, 1] + 0.3 * rng.normal(size=50)
    bound = linear_bound("gaussian", 500, prior={"weights": {"precision": "shared"}})
    parameters, *_ = fitted(bound, x, y, c_train=1.0)
    design = np.column_stack([x, np.ones(50)])
    found, h = objective_of(bound, parameters, x, y), parameters["log_precision"]
    at_h = gaussian_bound(design, y, float(h[0]), float(parameters["likelihood/log_noise"][0, 0]), diagonal=True)
    assert found == pytest.approx(at_h, abs=1e-6)
    assert found == pytest.approx(best_gaussian_bound(design, y, True, None, None), abs=1e-3)


def test_what_was_better_stays(monkeypatch):
    """A member isn't moved from where L is higher than at what was found, such as a fit that failed."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 1)), rng.poisson(4.0, size=20).astype(float)
    bound = linear_bound("poisson", 1)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_train=1.0)
    best = best_start(bound, start(bound), level)
    worse = perturbed(best, seed=1)
    monkeypatch.setattr("structflow.train.linear_fits.best_fit", lambda problem, given: given_of(bound, worse, level))
    kept = best_start(bound, best, level)
    assert all(torch.equal(kept[name], best[name]) for name in best)


def given_of(bound: Bound, parameters: Mapping[str, torch.Tensor], level: Level) -> Any:
    """What parameters hold of the only member."""
    (structure,) = linear_structures(bound, level)
    tree = bound.of_labels(parameters)
    return structure.given(tree, 0, structure.problem(tree, 0))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter"])
def test_the_objective_of_a_fit_is_that_of_training(covariance, precision):
    """L + log p(h) as the search for the start computes it, against the bound itself, away from any optimum."""
    of = graph({"x": (2,), "y": (1,)}, edge("x", "y", "all", fn("linear"), fn("polynomial", degree=2)))
    hyperprior = {"shape": 1.5, "scale": 0.5}
    bound = make_bound(
        population(of, structures(of)),
        "poisson",
        prior={"weights": {"precision": precision, "hyperprior": hyperprior}},
        posterior={"weights": {"covariance": covariance}},
    )
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(15, 2)), rng.poisson(2.0, size=15).astype(float)
    parameters = perturbed(start(bound), scale=0.1)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_train=1.0)
    fit = given_of(bound, parameters, level)
    assert fit.value == pytest.approx(objective_of(bound, parameters, x, y), abs=1e-9)


def test_training_ends_no_worse_than_it_started():
    """What steps in single precision lost is put back; where the end is better, it stays."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20, 1))
    y = 1e9 * (1 + x[:, 0]) + rng.normal(size=20)
    bound = linear_bound("gaussian", 1, likelihood_options={"noise": 1.0}, prior={"weights": {"precision": 1e-18}})
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]))
    best = best_start(bound, start(bound), level)
    rounded = {name: value.float().double() for name, value in best.items()}
    assert objective_of(bound, rounded, x, y) < objective_of(bound, best, x, y) - 1
    ended, left = best_end(bound, best, rounded, level, moved=False)
    assert float(left[0]) < 1e-3
    assert objective_of(bound, ended, x, y) == objective_of(bound, best, x, y)
    ended, _ = best_end(bound, rounded, best, level, moved=False)
    assert objective_of(bound, ended, x, y) == objective_of(bound, best, x, y)
    ended, _ = best_end(bound, rounded, rounded, level, moved=True)
    assert objective_of(bound, ended, x, y) == pytest.approx(objective_of(bound, best, x, y), abs=1e-3)


def test_what_is_left_to_gain_is_known():
    """Near the maximum of a quadratic objective of one weight it is the gap itself."""
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    settings = {"likelihood_options": {"noise": 1.0}, "prior": {"weights": {"precision": 1.0}}}
    bound = linear_bound("gaussian", 1, bias=False, **settings)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]))
    best = best_start(bound, start(bound), level)
    off = {name: value + (0.1 if name.startswith("mean") else 0.0) for name, value in best.items()}
    _, left = best_end(bound, off, off, level, moved=False)
    gap = objective_of(bound, best, x, y) - objective_of(bound, off, x, y)
    assert float(left[0]) == pytest.approx(gap, rel=1e-6)
    assert gap > 0.05


def test_a_model_without_weights_learns_its_noise():
    """f = 0: the best noise is the root mean square of the targets."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("zero")))
    bound = make_bound(population(of, structures(of)))
    rng = np.random.default_rng(8)
    y = torch.from_numpy(1e5 + rng.normal(size=(20, 1)))
    parameters = best_start(bound, start(bound), Level(torch.zeros(20, 1, dtype=DOUBLE), y, c_train=1.0))
    noise = parameters["likelihood/log_noise"]
    assert float(noise[0, 0]) == pytest.approx(0.5 * math.log(float(y.square().mean())), abs=1e-4)


def test_rows_beyond_the_memory_for_features_are_thinned(monkeypatch):
    """Every second row counts twice: the start is that of those rows, and the end is left as it was trained."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    bound = linear_bound("gaussian", 1, likelihood_options={"noise": 1.0}, prior={"weights": {"precision": 1.0}})
    whole = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]))
    half = Level(torch.from_numpy(x[::2]), torch.from_numpy(y[::2, None]), row_weight=2.0)
    expected = best_start(bound, start(bound), half)
    monkeypatch.setattr(linear_structures_module, "MOST_FEATURES", 20)
    found = best_start(bound, start(bound), whole)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
    ended, left = best_end(bound, found, start(bound), whole, moved=True)
    assert bool(left.isnan().all())
    assert all(torch.equal(ended[name], value) for name, value in start(bound).items())


def greatest_log_likelihood(design: np.ndarray, y: np.ndarray) -> float:
    """Least squares by numpy: −n/2 (log 2πσ̂² + 1), σ̂² the mean square of the residuals."""
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return -0.5 * len(y) * (math.log(2 * math.pi * float(np.mean(residual**2))) + 1)


def likelihood_of(bound: Bound, parameters: Mapping[str, torch.Tensor], x: np.ndarray, y: np.ndarray) -> float:
    """E_q log p(y | w)."""
    noise = noise_of(bound, keys_of(bound.population), 1)
    targets = torch.from_numpy(y.reshape(len(y), -1))
    terms = bound.terms(
        bound.of_labels(parameters),
        BoundInputs(noise, torch.from_numpy(x), targets, ONE, bound.population.indices, ONE),
    )
    return float(terms.log_likelihood[0])


POINT = {"weights": {"type": "point"}}
POSTERIORS = [POINT, {"weights": {"covariance": "diagonal"}}, {"weights": {"covariance": "full"}}]


@pytest.mark.parametrize("precision", [1.0, 1e6])
@pytest.mark.parametrize(
    "posterior", [POINT, {"weights": {"covariance": "diagonal"}}, {"weights": {"covariance": "full"}}]
)
@pytest.mark.parametrize(("offset", "scale", "inputs"), [(4e4, 1e3, [1.0, 1.0]), (0.0, 1.0, [1e-4, 500.0])])
def test_maximum_likelihood_has_no_penalty(precision, posterior, offset, scale, inputs):
    """c_reg = 0, targets near 40,000, or inputs of 1e-4 beside 500: least squares by numpy, whatever A is."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2)) * inputs
    y = offset + scale * (x @ [1.0 / inputs[0], 0.5 / inputs[1]] + 0.5 * rng.normal(size=30))
    bound = linear_bound("gaussian", 2, prior={"weights": {"precision": precision}}, posterior=posterior)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=0.0)
    found = best_start(bound, start(bound), level)
    expected = greatest_log_likelihood(np.column_stack([x, np.ones(30)]), y)
    assert likelihood_of(bound, found, x, y) == pytest.approx(expected, abs=1e-4)


def test_maximum_likelihood_keeps_what_was_trained_to_be_better():
    """The end is judged by log p(y | w) alone: the ridge fit with c_reg = 1e-6 gives way to least squares, -225.29."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1))
    y = 40000 + 1000 * (x[:, 0] + 0.5 * rng.normal(size=30))
    bound = linear_bound("gaussian", 1, prior={"weights": {"precision": 1.0}}, posterior=POINT)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=0.0)
    ridge = best_start(bound, start(bound), Level(level.x, level.y, c_reg=1e-6))
    best = best_start(bound, start(bound), level)
    assert likelihood_of(bound, ridge, x, y) == pytest.approx(-359.90, abs=0.05)
    for before, after in [(ridge, best), (best, ridge)]:
        ended, left = best_end(bound, before, after, level, moved=False)
        assert likelihood_of(bound, ended, x, y) == pytest.approx(-225.28544, abs=1e-4)
        assert float(left[0]) < 1e-4
    _, left = best_end(bound, ridge, ridge, level, moved=False)
    assert float(left[0]) > 1


@pytest.mark.parametrize(("rows", "columns"), [(30, 3), (6, 20)])
def test_weights_that_the_data_leave_open_are_the_shortest(rows, columns):
    """Equal columns, or more weights than rows, under maximum likelihood with σ = 1: numpy's least squares."""
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], size=(rows, columns))  # columns of one length, as lengths are relative to them
    x[:, 1] = x[:, 0]
    y = x[:, 0] + 0.3 * rng.normal(size=rows)
    options = {"likelihood_options": {"noise": 1.0}, "prior": {"weights": {"precision": 1e6}}, "posterior": POINT}
    bound = linear_bound("gaussian", columns, bias=False, **options)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=0.0)
    found = best_start(bound, start(bound), level)
    mean = found["mean/x->y/linear"].flatten().numpy()
    np.testing.assert_allclose(mean, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-9)


@pytest.mark.parametrize("c_reg", [0.0, 1e-9, 1e-3])
def test_labels_by_maximum_likelihood(c_reg):
    """A point of a logistic regression with inputs near 1e3, A = 1e6, and c_reg log p(w) as a part of L: scipy's."""
    rng = np.random.default_rng(4)
    x = 1e3 * rng.normal(size=(40, 1))
    y = (rng.random(40) < 1 / (1 + np.exp(-2e-3 * x[:, 0] - 0.5))).astype(float)
    bound = linear_bound("bernoulli", 1, prior={"weights": {"precision": 1e6}}, posterior=POINT)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=c_reg)
    found = best_start(bound, start(bound), level)
    design, signs = np.column_stack([x / 1e3, np.ones(40)]), 2 * y - 1

    def loss(w: np.ndarray) -> float:
        penalty = 5e5 * c_reg * ((w[0] / 1e3) ** 2 + w[1] ** 2)
        return float(np.logaddexp(0, -signs * (design @ w)).sum() + penalty)

    best = minimize(loss, np.zeros(2), tol=1e-12)
    w = np.array([1e3, 1.0]) * found["mean/x->y/linear"].flatten().numpy()
    assert loss(w) == pytest.approx(best.fun, abs=1e-6)


@pytest.mark.parametrize("weight", [1.0, 1.25])
def test_points_start_at_their_maximum_with_a_learned_noise(weight):
    """log p(y | w) + log p(w), A = 30, σ learned, rows that count once or as often as in a fold.

    w by ridge regression and σ² as the mean square of residuals, in turn, by numpy: 92.9736 for standardised columns.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = x @ [1, 0.5, 0.2] + 0.02 * rng.normal(size=40)
    x, of_y = (x - x.mean(0)) / x.std(0), y.std()
    y = (y - y.mean()) / of_y
    bound = linear_bound("gaussian", 3, prior={"weights": {"precision": 30.0}}, posterior=POINT)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), row_weight=weight)
    found = best_start(bound, start(bound), level)
    design, noise = np.column_stack([x, np.ones(40)]), 0.1
    for _ in range(200):
        w = np.linalg.solve(weight * design.T @ design / noise**2 + 30 * np.eye(4), weight * design.T @ y / noise**2)
        noise = math.sqrt(np.mean((y - design @ w) ** 2))
    likelihood = -40 * (math.log(noise) + 0.5 * math.log(2 * math.pi) + 0.5)
    if weight == 1:
        joint = likelihood - 15 * w @ w + 2 * math.log(30) - 2 * math.log(2 * math.pi)
        assert joint - 40 * math.log(of_y) == pytest.approx(92.9736, abs=1e-4)
        assert objective_of(bound, found, x, y) == pytest.approx(joint, abs=1e-5)
    assert likelihood_of(bound, found, x, y) == pytest.approx(likelihood, abs=1e-3)
    mean = found["mean/x->y/linear"].flatten().numpy()
    np.testing.assert_allclose(mean, w, atol=1e-5)


def test_counts_by_maximum_likelihood():
    """Rates near 1e4, from f = 0, where one whole Newton step would overflow: ȳ is the best rate of a constant."""
    y = np.random.default_rng(5).poisson(1e4, size=40).astype(float)
    x = np.zeros((40, 1))
    bound = linear_bound("poisson", 1, prior={"weights": {"precision": 1e6}}, posterior=POINT)
    level = Level(torch.from_numpy(x), torch.from_numpy(y[:, None]), c_reg=0.0)
    found = best_start(bound, start(bound), level)
    assert float(found["mean/x->y/linear"][0, -1]) == pytest.approx(math.log(y.mean()), abs=1e-6)
