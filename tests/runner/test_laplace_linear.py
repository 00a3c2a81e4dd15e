"""The posterior `laplace` of models that are linear in their weights: its evidence is the type-II maximum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
from scipy.optimize import minimize

import structflow

ROWS, INPUTS = 40, 3
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(ROWS, INPUTS))
Y = X @ np.array([1.0, -0.5, 0.0]) + 0.3 * RANDOM.normal(size=ROWS)


def type_two_maximum(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """max over log A and log σ of log N(y; 0, x xᵀ / A + σ² I), by the singular values of x; and the best log σ."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    along = u.T @ y
    rest = y @ y - along @ along

    def minus_evidence(h: np.ndarray) -> float:
        noise = np.exp(2 * h[1])
        variances = s**2 * np.exp(-h[0]) + noise
        others = len(y) - len(s)
        return 0.5 * float(
            np.log(2 * np.pi * variances).sum() + (along**2 / variances).sum()
            + others * np.log(2 * np.pi * noise) + rest / noise
        )  # fmt: skip

    scale = np.log(y.std())
    starts = [np.array([a, scale + b]) for a in (-20, -10, 0, 10, 20) for b in (-3, -1, 0)]
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 10_000, "maxfev": 10_000}
    best = min(
        (minimize(minus_evidence, at, method="Nelder-Mead", options=options) for at in starts), key=lambda r: r.fun
    )
    return -float(best.fun), float(best.x[1])


def document(path: Path, steps: int = 60, **sections: Any) -> dict[str, Any]:
    return studies.spec(
        data={"source": "npz", "path": str(path), "standardize": {"inputs": False, "targets": False}},
        model=studies.model([{"from": "x", "to": "y", "basis": [{"type": "linear", "bias": False}]}]),
        posterior={"weights": "laplace"},
        optimizer={"inner": {"steps": steps}, "restarts": 1},
        compute={"compile": False, "dtype": "float64"},
        **sections,
    )


@pytest.mark.parametrize("of_inputs", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("of_targets", [1e-3, 1.0, 1e3])
def test_the_evidence_is_the_maximum_over_precision_and_noise(
    tmp_path: Path, of_inputs: float, of_targets: float
) -> None:
    """To 1e-4 nats, whatever the units; the noise is that of the maximum."""
    x, y = of_inputs * X, of_targets * Y
    np.savez(tmp_path / "table.npz", x=x, y=y[:, None])
    run = structflow.run(document(tmp_path / "table.npz"), tmp_path / "run")
    expected, log_noise = type_two_maximum(x, y)
    (entry,) = run.ranking
    assert entry["log_evidence"] == pytest.approx(expected, abs=1e-4)
    assert entry["evidence"] == {"laplace": entry["log_evidence"]}
    assert entry["hyperparameters"]["likelihood/log_noise"] == pytest.approx([log_noise], abs=1e-3)


def test_it_predicts_as_the_posterior_of_a_linear_model_does(tmp_path: Path) -> None:
    """At new rows mean x*ᵀ m and variance x*ᵀ S x* + σ² with S = (xᵀx / σ² + A I)⁻¹, m = S xᵀ y / σ²."""
    np.savez(tmp_path / "table.npz", x=X, y=Y[:, None])
    run = structflow.run(document(tmp_path / "table.npz"), tmp_path / "run")
    of_h = run.ranking[0]["hyperparameters"]
    noise = np.exp(2 * of_h["likelihood/log_noise"][0])
    covariance = np.linalg.inv(X.T @ X / noise + np.exp(of_h["log_precision"]) * np.eye(INPUTS))
    new = RANDOM.normal(size=(7, INPUTS))
    found = run.predict(new)
    np.testing.assert_allclose(found.mean[:, 0], new @ covariance @ X.T @ Y / noise, rtol=1e-6)
    variance = np.einsum("ri,ij,rj->r", new, covariance, new) + noise
    np.testing.assert_allclose(found.standard_deviation[:, 0] ** 2, variance, rtol=1e-6)
    drawn = run.predict(new, samples=4000).samples[:, 0]
    assert (np.abs(drawn.std(1) ** 2 / variance - 1) < 5 * np.sqrt(2 / 4000)).all()
