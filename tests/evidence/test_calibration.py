"""Calibration errors against slow loops, closed forms, and predictive distributions known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, population, start, structures

from structflow.builtin.metrics.calibration_error import (
    LEVELS,
    expected_calibration_error,
    label_calibration_error,
    quantile_calibration_error,
)
from structflow.evidence import prediction as prediction_module
from structflow.evidence import trained as trained_module
from structflow.evidence.metrics import member_metrics, predicted_rows
from structflow.evidence.prediction import predict
from structflow.evidence.predictive_cdf import drawn_standing, exact_standing
from structflow.evidence.trained import TrainedPopulation
from structflow.objective.guarded_likelihood import GuardedLikelihood
from structflow.plugins.registry import registry

Gaussian = registry().of_kind("likelihoods")["gaussian"].plugin


class Laplace(Gaussian):
    """Draws of its own: the density exp(−|y − f|) / 2."""

    def draw(self, parameters, f, generator):
        return f.numpy() + generator.laplace(size=f.shape)


LINE = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))


def trained_line(likelihood: str, weight: float, deviation: float, members: int = 1, **options) -> TrainedPopulation:
    """f(x) = w x with q(w) = N(weight, deviation²), the same for every member, each with noise of its own."""
    built = population(LINE, structures(LINE) * members, list(range(members)))
    bound = make_bound(built, likelihood, options, integrate=False)
    parameters = start(bound)
    (mean,) = [name for name in parameters if name.startswith("mean/")]
    (log_sd,) = [name for name in parameters if name.startswith("log_sd/")]
    parameters[mean] = torch.full_like(parameters[mean], weight)
    parameters[log_sd] = torch.full_like(parameters[log_sd], math.log(deviation))
    none = torch.zeros((0, 1), dtype=DOUBLE)
    return TrainedPopulation(bound, bound.of_labels(parameters), keys_of(built), none, none, 0.7)


def test_the_expected_calibration_error_is_that_of_a_slow_loop():
    """Σ_b (n_b / n) |accuracy − confidence| bin by bin, at 500 random predictions and at the edges of bins."""
    generator = np.random.default_rng(0)
    confidence = np.concatenate([generator.uniform(0.2, 1, 500), np.arange(0, 16) / 15])
    correct = generator.random(516) < confidence**2
    expected = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = (confidence > low) & (confidence <= high) | (number == 0) & (confidence == 0)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected, rel=1e-12)
    assert expected > 0.1


def test_labels_by_hand():
    """Classes: 0.9 right and 0.8 wrong in other bins: (0.1 + 0.8)/2. Two labels: P = 0.1 predicts 0 with 0.9."""
    probabilities = np.array([[0.9, 0.1, 0.0], [0.1, 0.1, 0.8]])
    assert label_calibration_error("classes", np.array([[0], [1]]), probabilities) == pytest.approx(0.45)
    p, y = np.array([[0.1], [0.8]]), np.array([[0.0], [0.0]])
    assert label_calibration_error("binary", y, p) == pytest.approx((0.1 + 0.8) / 2)
    assert math.isnan(expected_calibration_error(np.array([0.5, np.nan]), np.array([True, True])))


def test_uniform_transforms_are_calibrated():
    """u = (i − ½)/n covers every level exactly; 400 samples of 100 uniforms give 0.33/√100 in the mean.

    All u at one end give (1/19) Σ p = ½, the largest value.
    """
    assert quantile_calibration_error((np.arange(1000) + 0.5) / 1000) == pytest.approx(0, abs=1e-12)
    found = [quantile_calibration_error(np.random.default_rng(seed).random(100)) for seed in range(400)]
    expected = np.sqrt(2 * LEVELS * (1 - LEVELS) / (math.pi * 100)).mean()
    assert expected == pytest.approx(0.0326, abs=1e-4)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20 + 1e-3)
    assert [quantile_calibration_error(np.full(10, end)) for end in (0.0, 1.0)] == pytest.approx([0.5, 0.5])
    assert math.isnan(quantile_calibration_error(np.array([0.5, np.nan])))


@pytest.mark.parametrize("true_noise", [0.5, 1.0])
def test_normal_predictions(true_noise):
    """y ~ N(2 x, true²) predicted as N(2 x, 0.5²): 0 up to 0.33/√n where that is true.

    With twice the noise the share of rows with u ≤ p is Φ(Φ⁻¹(p)/2). Over all p its mean distance from p is
    2 [P(X < Z/2, Z < 0) − P(X < Z, Z < 0)] = ¼ − arctan(½)/π = 0.1024, over the 19 levels 0.1019.
    """
    generator = np.random.default_rng(1)
    x = generator.normal(size=(20_000, 1))
    y = 2 * x + true_noise * generator.normal(size=x.shape)
    found = member_metrics(trained_line("gaussian", 2.0, 1e-9, noise=0.5), (x, y), 4, "test")[0]
    normal = scipy.stats.norm
    expected = np.abs(normal.cdf(normal.ppf(LEVELS) * 0.5 / true_noise) - LEVELS).mean()
    assert expected == pytest.approx({0.5: 0.0, 1.0: 0.25 - math.atan(0.5) / math.pi}[true_noise], abs=6e-4)
    # Three standard deviations of the largest gap, √(¼/n), bound the error of a mean of gaps.
    assert found["calibration_error"] == pytest.approx(expected, abs=3 * 0.5 / math.sqrt(len(x)))
    assert found["rmse"] == pytest.approx(true_noise, rel=0.02)
    expected_log_likelihood = -0.5 * math.log(2 * math.pi * 0.25) - true_noise**2 / 0.5
    assert found["log_likelihood"] == pytest.approx(expected_log_likelihood, abs=0.05)


def test_the_mixture_s_cdf_is_taken_and_not_that_of_its_parts():
    """q(w) = N(0, 1), x = 3, σ = 0.1: y ~ N(0, 9.01). With 4,000 samples u equals Φ(y/√9.01) to 4 · ½/√4000."""
    y = np.linspace(-6, 6, 25).reshape(-1, 1)
    trained = trained_line("gaussian", 0.0, 1.0, noise=0.1)
    found = predicted_rows(trained, (np.full_like(y, 3.0), y), 4000, "calibration/test").transforms
    assert found is not None
    np.testing.assert_allclose(found[0], scipy.stats.norm.cdf(y / math.sqrt(9.01)), atol=4 * 0.5 / math.sqrt(4000))


def test_counts_are_randomised_between_the_steps_of_their_cdf():
    """P(Y < y) and P(Y = y) are SciPy's, for y = 0, too; of 20,000 Poisson counts the error is 0 up to 0.0023."""
    likelihood = make_bound(population(LINE, structures(LINE)), "poisson").likelihood
    y = torch.tensor([[0.0], [1.0], [7.0]], dtype=DOUBLE)
    rates = torch.tensor([[[[0.3], [2.0], [5.0]], [[0.7], [1.5], [9.0]]]], dtype=DOUBLE)
    below, equal = exact_standing(likelihood, y, rates, rates)
    poisson = scipy.stats.poisson
    np.testing.assert_allclose(below[0], poisson.cdf(y - 1, rates[0]).sum(0), atol=1e-14)
    np.testing.assert_allclose(equal[0], poisson.pmf(y, rates[0]).sum(0), rtol=1e-12)

    generator = np.random.default_rng(2)
    x = generator.uniform(-1, 1, size=(20_000, 1))
    counts = generator.poisson(np.exp(0.7 * x)).astype(float)
    trained = trained_line("poisson", 0.7, 1e-9)
    right = member_metrics(trained, (x, counts), 2, "test")[0]["calibration_error"]
    wrong = member_metrics(trained, (x, 2 * counts), 2, "test")[0]["calibration_error"]
    assert right < 0.33 / math.sqrt(20_000) * 3
    assert wrong > 0.05


def test_two_labels_and_classes_of_trained_members():
    """P(y = 1) = σ(2 x): calibrated up to 1/√n a bin, and 0.25 to 0.5 off where the labels are turned round."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(20_000, 1))
    y = (generator.random(x.shape) < 1 / (1 + np.exp(-2 * x))).astype(float)
    trained = trained_line("bernoulli", 2.0, 1e-9)
    right = member_metrics(trained, (x, y), 2, "test")[0]
    probability = 1 / (1 + np.exp(-2 * x))
    assert right["calibration_error"] == pytest.approx(label_calibration_error("binary", y, probability), abs=1e-9)
    assert right["calibration_error"] < 15 / math.sqrt(20_000) / 2
    confidence = np.maximum(probability, 1 - probability).mean()
    wrong = member_metrics(trained, (x, 1 - y), 2, "test")[0]
    assert wrong["calibration_error"] == pytest.approx(2 * confidence - 1, abs=0.02)
    assert wrong["accuracy"] == pytest.approx(1 - right["accuracy"])


class TestLikelihoodsWithDrawsOfTheirOwn:
    """Of these y is placed among draws."""

    y = torch.linspace(-3, 3, 13, dtype=DOUBLE).reshape(-1, 1)

    def trained(self, members: int) -> TrainedPopulation:
        """f = 0 under the Laplace likelihood with scale 1."""
        trained = trained_line("gaussian", 0.0, 1e-9, members)
        trained.bound.likelihood = GuardedLikelihood(Laplace(trained.bound.likelihood.options, np.ones(1)))
        return trained

    def test_the_share_of_draws_below_y_is_the_cdf(self):
        """Laplace: F(y) = ½ e^y below 0 and 1 − ½ e^−y above; with 4,000 draws to 4 · ½/√4000, not a normal's."""
        found = predict(self.trained(1), torch.zeros_like(self.y), self.y, 4000, "calibration/test")
        assert found.below is not None
        np.testing.assert_allclose(found.below[0], scipy.stats.laplace.cdf(self.y), atol=4 * 0.5 / math.sqrt(4000))
        normal = scipy.stats.norm.cdf(self.y / math.sqrt(2))
        assert np.abs(normal - scipy.stats.laplace.cdf(self.y)).max() > 0.02
        np.testing.assert_allclose(found.equal, 1 / 4001)

    def test_ranks_are_uniform_with_few_draws(self):
        """With 3 draws for each of 4,000 rows the transforms of y ~ p(y | f) are still uniform; √(¼·¾/4000) = 0.007."""
        x = np.zeros((4000, 1))
        y = np.random.default_rng(4).laplace(size=x.shape)
        found = predicted_rows(self.trained(1), (x, y), 3, "calibration/test").transforms
        assert found is not None
        assert found.shape == (1, 4000, 1)
        assert quantile_calibration_error(found) < 3 * 0.33 / math.sqrt(4000)
        by_rank = np.histogram(found, bins=4, range=(0, 1))[0] / found.size
        np.testing.assert_allclose(by_rank, 0.25, atol=4 * 0.007)

    def test_neither_chunks_nor_batch_mates_change_them(self, monkeypatch):
        x = torch.zeros_like(self.y)
        whole = predict(self.trained(3), x, self.y, 7, "calibration/test")
        monkeypatch.setattr(trained_module, "CHUNK_NUMBERS", 2 * 3 * 13)
        parts = predict(self.trained(3), x, self.y, 7, "calibration/test")
        assert torch.equal(whole.below, parts.below)
        alone = predict(self.trained(1), x, self.y, 7, "calibration/test")
        assert torch.equal(whole.below[:1], alone.below)
        other = predict(self.trained(1), x, self.y, 7, "calibration/train")
        assert not torch.equal(other.below, alone.below)

    def test_ties_count_as_equal(self):
        """A likelihood that always draws 2: below 3, equal to 2, above 1."""

        class Two(Laplace):
            def draw(self, parameters, f, generator):
                return np.full(f.shape, 2.0)

        y = torch.tensor([[1.0], [2.0], [3.0]], dtype=DOUBLE)
        below, equal = drawn_standing(
            Two(None, np.ones(1)), {}, y, torch.zeros((1, 5, 3, 1)), np.array([[1, 2]]), "phase", 0
        )
        assert below[0, :, 0].tolist() == [0, 0, 5]
        assert equal[0, :, 0].tolist() == [0, 5, 0]


def test_rows_in_pieces_are_the_rows_at_once(monkeypatch):
    """1,000 rows in pieces of 300; without ties the noise of the transforms changes nothing."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(1000, 1)), generator.normal(size=(1000, 1))
    trained = trained_line("gaussian", 0.5, 0.3, 2, noise=0.8)
    whole = member_metrics(trained, rows, 5, "test")
    monkeypatch.setattr("structflow.evidence.metrics.MOST_PREDICTED_ROWS", 300)
    for one, other in zip(whole, member_metrics(trained, rows, 5, "test"), strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    assert whole[0] != whole[1]  # members have noise of their own
    assert prediction_module.MOST_PREDICTED_ROWS == 20_000


def test_every_built_in_likelihood_has_a_calibration_error():
    """Its own `draw` or the default's distribution: there is no third case."""
    for name in registry().of_kind("likelihoods"):
        width = {"x": (1,), "y": (3,)}
        of = graph(width, edge("x", "y", "all", fn("linear")))
        members = population(of, structures(of))
        bound = make_bound(members, name, integrate=False)
        x = np.random.default_rng(6).normal(size=(9, 1))
        y = np.ones((9, 1 if bound.likelihood.target == "classes" else 3))
        none = torch.zeros((0, 1), dtype=DOUBLE)
        trained = TrainedPopulation(bound, bound.of_labels(start(bound)), keys_of(members), none, none, 0.7)
        (found,) = member_metrics(trained, (x, y), 3, "test")
        assert 0 <= found["calibration_error"] <= 1, name
        assert member_metrics(trained, (x[:0], y[:0]), 3, "test") == [{}]
