"""E2: learning a precision for every weight of a linear model, against the optimum in closed form."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BY_GRADIENT = ("greedy", "hoag", "drmad")
FEWER = [
    "compute.compile=false",
    "sweep=[{optimizer.outer: [{type: greedy, rate: 0.15}, {type: hoag, every: 10, rate: 1.0}, "
    "{type: drmad, every: 10, rate: 1.0}, {type: random_search}], optimizer.restarts: [4, 4, 4, 100], "
    "optimizer.inner.steps: [300, 300, 300, 20]}]",
]
"""An eighth of the steps of the spec, half the starts."""


@pytest.fixture(scope="module")
def e2() -> ModuleType:
    path = ROOT / "docs" / "experiments" / "hyperparameters.py"
    description = importlib.util.spec_from_file_location("hyperparameters", path)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules["hyperparameters"] = module
    description.loader.exec_module(module)
    return module


def table() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    x = generator.normal(size=40)
    return x, x + generator.normal(size=40)


def test_the_closed_form_is_the_evidence_less_its_slack(e2: ModuleType) -> None:
    """Q = log N(y; 0, ΦA⁻¹Φᵀ + I) + m/2 log 2π − ½ (Σ log Λ_ii − log |Λ|) with Λ = ΦᵀΦ + A (Bishop 2006, 10.1.2)."""
    x, y = table()
    phi, h = e2.features(x)[:, :5], np.linspace(-1, 2, 5)
    covariance = phi @ np.diag(np.exp(-h)) @ phi.T + np.eye(40)
    posterior = phi.T @ phi + np.diag(np.exp(h))
    slack = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
    expected = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1]) - slack
    assert e2.best_bound(h, phi, y)[0] == pytest.approx(expected, abs=1e-9)


def test_the_gradient_of_the_closed_form(e2: ModuleType) -> None:
    x, y = table()
    phi, h = e2.features(x), np.linspace(-1, 8, 12)
    gradient = e2.best_bound(h, phi, y)[1]
    for place, unit in enumerate(1e-5 * np.eye(12)):
        difference = (e2.best_bound(h + unit, phi, y)[0] - e2.best_bound(h - unit, phi, y)[0]) / 2e-5
        assert gradient[place] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def check_bars(results: list) -> None:
    """Median gap of 1 nat at most, and random search behind every method on every table: the project's own bars."""
    for name in BY_GRADIENT:
        assert np.median([result.optimum - result.methods[name].best for result in results]) <= 1.0
    for result in results:
        assert result.methods["random_search"].best < min(result.methods[name].best for name in BY_GRADIENT)
        assert max(found.best for found in result.methods.values()) <= result.optimum + 1e-6


@pytest.mark.thorough
def test_every_method_is_near_the_optimum_of_one_table(e2: ModuleType, tmp_path: Path) -> None:
    check_bars([e2.on_table(1, tmp_path, FEWER, lbfgs_starts=8)])


@pytest.mark.slow
def test_the_bars_on_five_tables(e2: ModuleType, tmp_path: Path) -> None:
    results = [e2.on_table(seed, tmp_path, ["compute.compile=true"]) for seed in range(5)]
    check_bars(results)
    for name in BY_GRADIENT:
        assert np.median([abs(result.methods[name].rmse - result.rmse) for result in results]) <= 0.01
