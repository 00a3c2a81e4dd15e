"""Metrics under noise on inputs and weights against closed forms of linear models."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from handmade import (
    DOUBLE,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    perturbed,
    pick,
    population,
    rich_graph,
    start,
    structures,
)

from structflow.evidence.metrics import member_metrics
from structflow.evidence.robustness import deviation_label, input_noise, member_robustness, weight_noise
from structflow.evidence.trained import TrainedPopulation
from structflow.spec.models import Robustness

PLANE = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
W = torch.tensor([0.5, -2.0, 1.0], dtype=DOUBLE)
RICH = rich_graph()
POSTERIORS = [{"type": "point"}, {"covariance": "diagonal"}, {"covariance": "full"}]


def trained_at(members, parameters=None, weights=None, **settings) -> TrainedPopulation:
    bound = make_bound(members, integrate=False, posterior={"weights": weights or {}}, **settings)
    none = torch.zeros((0, 3), dtype=DOUBLE)
    parameters = perturbed(start(bound)) if parameters is None else {**start(bound), **parameters}
    return TrainedPopulation(bound, bound.of_labels(parameters), keys_of(members), none, none[:, :1], 0.7)


def plane(scale: float = 1.0) -> TrainedPopulation:
    """f = wᵀx with the point w, one member."""
    members = population(PLANE, structures(PLANE))
    name = next(name for name in start(make_bound(members)) if name.startswith("mean/"))
    shape = start(make_bound(members))[name].shape
    return trained_at(members, {name: W.reshape(shape)}, {"type": "point"}, target_scale=[scale])


def rows(count: int, seed: int = 0, inputs: int = 3):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, inputs))
    return x, x[:, :1] + generator.normal(size=(count, 1))


def of(trained: TrainedPopulation, part, draws_of_q: int = 2, **options):
    return member_robustness(trained, part, draws_of_q, "test", Robustness(**options), 5)


def test_noise_on_inputs_of_a_linear_model():
    """E (y − wᵀ(x + σ ε))² = rmse² + σ² |w|², with |w|² = 5.25; over 40,000 rows to 4 standard errors of √2/√n."""
    part = rows(40_000)
    plain = member_metrics(plane(), part, 2, "test")[0]["rmse"]
    noisy = of(plane(), part, inputs=[0.5], samples=2)[0]["inputs"]["0.5"]["rmse"]
    assert noisy**2 == pytest.approx(plain**2 + 0.25 * 5.25, rel=4 * 2**0.5 / 200)
    assert noisy > plain + 0.2


def test_noise_on_weights_of_a_linear_model():
    """The mean over ε of (y − (w + σ ε)ᵀx)² over rows is rmse² + σ² mean |x|²; of the RMSE itself a little less.

    With one row the RMSE is |e − σ εᵀx|, the mean of a folded normal distribution.
    """
    x, y = rows(1)
    error, spread = float(y[0, 0] - x[0] @ W.numpy()), 0.25 * float(np.linalg.norm(x[0]))
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(error**2) / (2 * spread**2))
    folded += error * (1 - 2 * scipy.stats.norm.cdf(-error / spread))
    found = of(plane(), (x, y), weights=[0.25], samples=400)[0]["weights"]["0.25"]
    assert found["rmse"] == pytest.approx(folded, abs=4 * spread / 400**0.5)
    assert found["rmse"] == pytest.approx(found["mae"], rel=1e-12)


def test_the_metric_is_averaged_over_the_very_draws():
    """Noise drawn by itself, predictions of NumPy: RMSE, and the log density of y under σ = 1 in units of 10."""
    part = x, y = rows(20)
    trained = plane(10.0)
    w = W.numpy()
    found = of(trained, part, inputs=[0.3], weights=[0.2], samples=3)[0]
    on_inputs, on_weights, densities = [], [], []
    for number in range(3):
        errors = y[:, 0] - (x + 0.3 * input_noise(x.shape, 5, "test", number)) @ w
        on_inputs.append(10 * np.sqrt(np.mean(errors**2)))
        densities.append(np.mean(-0.5 * errors**2 - 0.5 * np.log(2 * np.pi) - np.log(10)))
        moved = w + 0.2 * weight_noise(trained, number)[0].numpy().reshape(-1)
        on_weights.append(10 * np.sqrt(np.mean((y[:, 0] - x @ moved) ** 2)))
    assert found["inputs"]["0.3"]["rmse"] == pytest.approx(np.mean(on_inputs), rel=1e-12)
    assert found["inputs"]["0.3"]["log_likelihood"] == pytest.approx(np.mean(densities), rel=1e-12)
    assert found["weights"]["0.2"]["rmse"] == pytest.approx(np.mean(on_weights), rel=1e-12)


@pytest.mark.parametrize("weights", POSTERIORS, ids=["point", "diagonal", "full"])
@pytest.mark.parametrize("relaxed", [False, True])
def test_no_noise_is_no_noise(weights, relaxed):
    """σ = 0 gives exactly the metrics without noise, of every kind of posterior."""
    structure = None if relaxed else pick(structures(RICH), 1, 3)[0]
    trained = trained_at(population(RICH, [structure] * 2, [0, 1]), weights=weights)
    part = rows(12)
    plain = member_metrics(trained, part, 4, "test")
    found = of(trained, part, 4, inputs=[0, 1e-3], weights=[0.0, 1e-3], samples=2)
    for member in range(2):
        expected = {name: value for name, value in plain[member].items() if name != "calibration_error"}
        for where in ("inputs", "weights"):
            assert found[member][where]["0"] == expected
            assert found[member][where]["0.001"] == pytest.approx(expected, rel=0.05)
            assert found[member][where]["0.001"] != expected


@pytest.mark.parametrize("weights", POSTERIORS, ids=["point", "diagonal", "full"])
def test_every_posterior_is_moved_by_the_same_noise(weights):
    """The mean prediction of a model linear in its weights moves by σ εᵀx, whatever the spread of q."""
    members = population(PLANE, structures(PLANE))
    trained = trained_at(members, weights=weights)
    part = rows(30)
    noise = weight_noise(trained, 0)[0].numpy().reshape(-1)
    mean = trained.bound.weights.moments(trained.parameters)[0][0].numpy().reshape(-1)
    found = of(trained, part, 3000, weights=[0.7], samples=1)[0]["weights"]["0.7"]["rmse"]
    expected = np.sqrt(np.mean((part[1][:, 0] - part[0] @ (mean + 0.7 * noise)) ** 2))
    assert found == pytest.approx(expected, rel=0.05)


def test_batch_mates_change_nothing():
    """A member alone has the numbers it has among five, whose functions differ."""
    chosen = pick(structures(RICH), 5, 2)

    def found(picked):
        members = population(RICH, picked)
        bound = make_bound(members, integrate=False)
        none = torch.zeros((0, 3), dtype=DOUBLE)
        trained = TrainedPopulation(bound, bound.of_labels(start(bound)), keys_of(members), none, none[:, :1], 0.7)
        return of(trained, rows(8), 3, inputs=[0.4], weights=[0.4], samples=2)

    together = found(chosen)
    for number in (0, 4):
        (alone,) = found([chosen[number]])
        for where in ("inputs", "weights"):
            assert alone[where]["0.4"] == pytest.approx(together[number][where]["0.4"], rel=1e-10)
    assert together[0]["weights"]["0.4"] != together[1]["weights"]["0.4"]


def test_noise_depends_on_the_seed_the_rows_and_the_draw_alone():
    first = input_noise((4, 3), 1, "test", 0)
    np.testing.assert_array_equal(input_noise((9, 3), 1, "test", 0)[:4], first)
    for seed, name, number in ((2, "test", 0), (1, "train", 0), (1, "test", 1)):
        assert not np.isclose(input_noise((4, 3), seed, name, number), first).any()
    many = input_noise((5000, 2), 1, "test", 0)
    assert abs(many.mean()) < 4 / 100
    assert many.var() == pytest.approx(1, abs=4 * 2**0.5 / 100)


def test_nothing_is_computed_unless_asked_for():
    assert of(plane(), rows(5)) == [{}]
    assert of(plane(), rows(0), inputs=[0.5]) == [{}]
    assert of(plane(), rows(5), inputs=[0.5], samples=1)[0]["weights"] == {}


def test_deviations_have_distinct_names():
    assert [deviation_label(value) for value in (0.0, 1.0, 0.5, 1e-7)] == ["0", "1", "0.5", "1e-07"]
