"""Linear models against the closed form, in the coordinates they are trained in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import structflow


def study(covariance: str, basis: list[Any], prior: dict[str, Any], noise: Any, formula: str) -> dict[str, Any]:
    return {
        "name": "linear",
        "data": {
            "source": "synthetic",
            "rows": 40,
            "inputs": 2,
            "formula": formula,
            "noise": 0.5,
            "standardize": {"inputs": False, "targets": False},
        },
        "model": {
            "likelihood": {"type": "gaussian", "noise": noise},
            "edges": [{"from": "x", "to": "y", "choose": "any", "min": len(basis), "basis": basis}],
        },
        "prior": {"weights": prior},
        "posterior": {"weights": {"covariance": covariance}},
        "optimizer": {"restarts": 1},
        "compute": {"compile": False},
    }


def evidence(design: np.ndarray, y: np.ndarray, precision: float, variance: float) -> float:
    """log N(y; 0, ΦΦᵀ/A + σ² I)."""
    covariance = design @ design.T / precision + variance * np.eye(len(y))
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    quadratic = y @ np.linalg.solve(covariance, y)
    return float(-0.5 * (quadratic + log_determinant + len(y) * math.log(2 * math.pi)))


def powers(x: np.ndarray, degree: int) -> np.ndarray:
    """Every input's x, x², …, and a constant: what `polynomial` computes in its power basis."""
    return np.column_stack([*(x[:, i] ** k for i in range(x.shape[1]) for k in range(1, degree + 1)), np.ones(len(x))])


def result(spec: dict[str, Any], folder: Path) -> tuple[float, float, np.ndarray, np.ndarray]:
    run = structflow.run(spec, folder)
    x, y = run.context.study.dataset.train()
    return run.ranking[0]["log_evidence"], run.ranking[0]["log_evidence_se"], x, y[:, 0]


def test_ill_conditioned_powers_reach_the_exact_evidence(tmp_path: Path) -> None:
    """Powers up to 7 of normal inputs: the features' Gram matrix has a condition number above 10⁶."""
    basis = [{"type": "polynomial", "degree": 7}]
    found, error, x, y = result(study("full", basis, {"precision": 2.0}, 0.5, "x0 - 0.5*x1**2"), tmp_path / "run")
    design = powers(x, 7)
    assert np.linalg.cond(design.T @ design) > 1e6
    assert found == pytest.approx(evidence(design, y, 2.0, 0.25), abs=1e-3)
    assert error == 0


def test_mean_field_reaches_its_closed_form_optimum(tmp_path: Path) -> None:
    """The best diagonal q has precision diag Λ: its bound is the evidence − ½ (Σ log Λ_ii − log |Λ|)."""
    basis = [{"type": "polynomial", "degree": 5}]
    found, _, x, y = result(study("diagonal", basis, {"precision": 2.0}, 0.5, "x0 - 0.5*x1**2"), tmp_path / "run")
    design = powers(x, 5)
    posterior = design.T @ design / 0.25 + 2.0 * np.eye(design.shape[1])
    slack = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
    assert found == pytest.approx(evidence(design, y, 2.0, 0.25) - slack, abs=1e-3)


def test_a_linear_structure_reaches_it_beside_others(tmp_path: Path) -> None:
    """Powers share a batch with a network and with what is behind an identity; one step is enough for both linear ones.

    The network's hidden node makes h→y nonlinear there; h = x0 makes it linear with features 1 and x0.
    """
    spec = study("diagonal", [], {"precision": 2.0}, 0.5, "x0 - 0.5*x0**2")
    spec["data"]["inputs"] = 1
    spec["model"]["nodes"] = {"x": {}, "h": {"shape": [1]}, "y": {}}
    hidden = ["identity", {"type": "dense", "activation": "tanh"}]
    last = [{"type": "polynomial", "degree": 5, "name": "polynomial"}, "linear"]
    spec["model"]["edges"] = [
        {"from": "x", "to": "h", "choose": "one", "basis": hidden},
        {"from": "h", "to": "y", "choose": "one", "basis": last},
    ]
    spec["optimizer"]["inner"] = {"steps": 1}
    run = structflow.run(spec, tmp_path / "run")
    found = {tuple(entry["structure"][edge][0] for edge in ("x->h", "h->y")): entry for entry in run.ranking}
    assert len(found) == 4
    x, y = run.context.study.dataset.train()
    for name, degree in (("polynomial", 5), ("linear", 1)):
        design = powers(x, degree)
        posterior = design.T @ design / 0.25 + 2.0 * np.eye(design.shape[1])
        slack = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
        expected = evidence(design, y[:, 0], 2.0, 0.25) - slack
        assert found["identity", name]["log_evidence"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("covariance", ["full", pytest.param("diagonal", marks=pytest.mark.thorough)])
def test_several_groups_share_one_posterior(covariance: str, tmp_path: Path) -> None:
    """A constant and an affine map explain the same offset: two groups whose weights are correlated."""
    basis = ["constant", {"type": "linear", "bias": True}]
    found, _, x, y = result(study(covariance, basis, {"precision": 1.0}, 0.5, "3 + x0"), tmp_path / "run")
    design = np.column_stack([np.ones(len(x)), x, np.ones(len(x))])
    exact = evidence(design, y, 1.0, 0.25)
    posterior = design.T @ design / 0.25 + np.eye(design.shape[1])
    slack = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
    assert found == pytest.approx(exact - (slack if covariance == "diagonal" else 0.0), abs=1e-3)


def test_learned_hyperparameters_reach_the_best_evidence(tmp_path: Path) -> None:
    """With a full covariance the bound is the evidence, so learned h maximise it: the reference is scipy's maximum."""
    basis = [{"type": "polynomial", "degree": 3}]
    spec = study("full", basis, {"precision": "shared"}, "learned", "x0 - 0.5*x1**2")
    found, _, x, y = result(spec, tmp_path / "run")
    design = powers(x, 3)

    def loss(h: np.ndarray) -> float:
        return -evidence(design, y, math.exp(h[0]), math.exp(2 * h[1]))

    best = minimize(loss, [0.0, 0.0], method="Nelder-Mead")
    assert found == pytest.approx(-best.fun, abs=0.01)
    assert found <= -best.fun + 1e-6


def test_features_behind_functions_without_weights_are_known(tmp_path: Path) -> None:
    """x, x², x³ and sin x are nearly collinear and in two groups: one step is enough, because training starts there."""
    spec = study("diagonal", [{"type": "polynomial", "degree": 3}], {"precision": 2.0}, 0.5, "x0 - 0.5*x0**2")
    spec["data"]["inputs"] = 1
    spec["model"]["nodes"] = {"x": {}, "sine": {"shape": [1]}, "y": {}}
    spec["model"]["edges"] = [
        {"from": "x", "to": "y", "basis": [{"type": "polynomial", "degree": 3}]},
        {"from": "x", "to": "sine", "basis": [{"type": "elementwise", "function": "sin"}]},
        {"from": "sine", "to": "y", "basis": [{"type": "linear", "bias": False}]},
    ]
    spec["optimizer"]["inner"] = {"steps": 1}
    found, _, x, y = result(spec, tmp_path / "run")
    design = np.column_stack([powers(x, 3), np.sin(x)])
    posterior = design.T @ design / 0.25 + 2.0 * np.eye(5)
    slack = 0.5 * (np.log(np.diag(posterior)).sum() - np.linalg.slogdet(posterior)[1])
    assert found == pytest.approx(evidence(design, y, 2.0, 0.25) - slack, abs=1e-3)


def test_gradient_steps_survive_a_precision_that_rises(tmp_path: Path) -> None:
    """In the coordinates of log A = −4 a rate of 0.2 is stable up to a curvature of 10; at the end A is far above that.

    y doesn't depend on x1, so its precision rises without end, and what is left of its KL is nearly nothing: the bound
    ends near that of x0 alone, ½ log(1 + G/A) ≤ 0.05 nats below.
    """
    spec = study(
        "diagonal", [{"type": "linear", "bias": False}], {"precision": "per_parameter", "start_range": [0.01, 0.02]},
        0.5, "x0",
    )  # fmt: skip
    spec["optimizer"] = {
        "inner": {"type": "sgd", "lr": 0.2, "steps": 400},
        "outer": {"type": "hoag", "every": 20, "rate": 2.0},
        "restarts": 2,
    }
    run = structflow.run(spec, tmp_path / "run")
    x, y = (rows.astype(float) for rows in run.context.study.dataset.train())
    only = x[:, :1]

    def bound_of_x0(log_precision: float) -> float:
        return evidence(only, y[:, 0], math.exp(log_precision), 0.25)

    best = max(bound_of_x0(value) for value in np.linspace(-5, 5, 1001))
    assert run.summary["warnings"] == []
    assert run.ranking[0]["log_evidence"] == pytest.approx(best, abs=0.1)
