"""Metrics of draws: closed forms, slow references, and what a run gives."""

from __future__ import annotations

import numpy as np
import pytest
import studies
from scipy.stats import norm, poisson

from structflow.errors import SpecError
from structflow.evidence.metrics import MemberPrediction
from structflow.plugins.registry import registry

NONE = np.empty(0)


def value(name, draws, y, **options):
    known = registry().of_kind("metrics")[name]
    predicted = MemberPrediction("continuous", NONE, NONE, NONE, draws)
    return known.plugin.value(known.options(**options), predicted, y)


def of_means(name, target, mean, y):
    predicted = MemberPrediction(target, np.array(mean), NONE, NONE, NONE)
    return registry().get("metrics", name).value(None, predicted, np.array(y))


def test_metrics_of_means_by_hand():
    """Two of three classes right; two of four labels; errors of 1 and 3: √5 and 2."""
    assert of_means("accuracy", "classes", [[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]], [[0], [1], [1]]) == pytest.approx(
        2 / 3
    )
    assert of_means("accuracy", "binary", [[0.9], [0.2], [0.4], [0.6]], [[1.0], [0.0], [1.0], [0.0]]) == 0.5
    assert of_means("rmse", "counts", [[1.0], [1.0]], [[2.0], [4.0]]) == pytest.approx(5**0.5)
    assert of_means("mae", "counts", [[1.0], [1.0]], [[2.0], [4.0]]) == pytest.approx(2.0)


def crps_of_a_normal(mean, sd, y):
    """σ [z (2 Φ(z) − 1) + 2 φ(z) − 1/√π], z = (y − μ)/σ: Gneiting and Raftery (2007), equation 21."""
    z = (y - mean) / sd
    return sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def test_crps_of_normal_draws_is_the_closed_form():
    """40,000 draws for three rows with σ = 2: within 0.02."""
    mean, y = np.array([[0.0], [1.0], [5.0]]), np.array([[0.5], [-2.0], [5.0]])
    draws = mean + 2.0 * np.random.default_rng(0).standard_normal((40_000, 3, 1))
    assert value("crps", draws, y) == pytest.approx(np.mean(crps_of_a_normal(mean, 2.0, y)), abs=0.02)


def test_crps_by_all_pairs():
    """E|Y − y| − ½ E|Y − Y'| with every pair of different draws counted: the unbiased estimate, to rounding."""
    rng = np.random.default_rng(1)
    draws, y = rng.standard_normal((7, 4, 2)), rng.standard_normal((4, 2))
    pairs = sum(np.abs(draws[i] - draws[j]) for i in range(7) for j in range(7)) / (7 * 6)
    assert value("crps", draws, y) == pytest.approx(np.mean(np.abs(draws - y).mean(0) - 0.5 * pairs), rel=1e-12)


@pytest.mark.parametrize("count", [1, 5])
def test_crps_of_a_point_is_its_absolute_error(count):
    assert value("crps", np.full((count, 2, 1), 3.0), np.array([[1.0], [4.5]])) == pytest.approx((2.0 + 1.5) / 2)


def test_crps_of_counts():
    """Poisson: Σ_k (F(k) − 1{k ≥ y})², the integral of the squared gap between the two distribution functions."""
    y, rate, levels = 4.0, 2.5, np.arange(40)
    expected = np.sum((poisson.cdf(levels, rate) - (levels >= y)) ** 2)
    draws = np.random.default_rng(2).poisson(rate, (40_000, 1, 1)).astype(float)
    assert value("crps", draws, np.array([[y]])) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_pinball_by_its_definition(quantile):
    """max(τ (y − q), (τ − 1)(y − q)), row by row, and at τ = ½ half the absolute error of the median."""
    rng = np.random.default_rng(3)
    draws, y = rng.standard_normal((101, 6, 1)), rng.standard_normal((6, 1))
    at = np.quantile(draws, quantile, axis=0)
    losses = [max(quantile * gap, (quantile - 1) * gap) for gap in (y - at).ravel()]
    assert value("pinball", draws, y, quantile=quantile) == pytest.approx(np.mean(losses), rel=1e-12)
    if quantile == 0.5:
        assert np.mean(losses) == pytest.approx(0.5 * np.abs(y - np.median(draws, axis=0)).mean(), rel=1e-12)


def test_the_right_quantile_loses_least():
    """Over 4,000 rows of y ~ N(0, 1) the loss at τ = 0.9 of draws of N(m, 1) is least for m = 0."""
    rng = np.random.default_rng(4)
    y, noise = rng.standard_normal((4000, 1)), rng.standard_normal((500, 1, 1))
    losses = [value("pinball", np.broadcast_to(m + noise, (500, 4000, 1)), y, quantile=0.9) for m in (-0.5, 0.0, 0.5)]
    assert losses[1] < min(losses[0], losses[2]) - 0.01


LINEAR = [{"from": "x", "to": "y", "basis": [{"type": "linear"}]}]
NAMES = ["rmse", "mae", "log_likelihood", "calibration_error", "crps", "pinball(quantile=0.9)", "pinball(quantile=0.1)"]


def test_a_run_has_what_was_asked_for(tmp_path):
    """Beside the default metrics, in the target's units, which are divided by about 30 for training.

    The predictive distribution is normal, known by its mean and spread: CRPS in closed form, to 0.1 for σ = 5.
    """
    metrics = ["crps", {"type": "pinball", "quantile": 0.9}, {"type": "pinball", "quantile": 0.1}]
    data = {
        "source": "synthetic", "rows": 60, "inputs": 1, "formula": "100 + 30*x0", "noise": 5.0,
        "split": {"test": 0.25}, "standardize": {"targets": True},
    }  # fmt: skip
    document = studies.spec(
        data=data,
        model={"likelihood": {"type": "gaussian", "noise": 5.0}, **studies.model(LINEAR)},
        prior={"weights": {"precision": 0.01}},
        optimizer={"inner": {"steps": 100, "lr": 0.02}, "restarts": 1},
        evidence={"samples": 4000},
        compute={"compile": False, "dtype": "float64"},
        metrics=metrics,
    )
    run = studies.run(document, tmp_path / "run")
    (entry,) = run.ranking
    for rows in ("train", "test"):
        assert list(entry["metrics"][rows]) == NAMES
    dataset = run.context.study.dataset
    x, y = dataset.test()
    targets = y * dataset.target_scale + dataset.target_shift
    found = run.predict(x * dataset.input_scale + dataset.input_shift, 4000)
    expected = crps_of_a_normal(found.mean, found.standard_deviation, targets).mean()
    assert expected > 1
    assert entry["metrics"]["test"]["crps"] == pytest.approx(expected, abs=0.1)
    again = studies.run({**document, "metrics": metrics[:1]}, tmp_path / "again")
    assert again.ranking[0]["metrics"]["test"]["crps"] == entry["metrics"]["test"]["crps"]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [(["accuracy"], "which is for classes or binary targets"), (["crps", "crps"], "'crps' is listed before")],
)
def test_what_does_not_fit_is_said(metrics, words):
    with pytest.raises(SpecError) as caught:
        studies.study(studies.spec(metrics=metrics))
    assert words in caught.value.problems[0].message
