"""The package's specs, and what its functions are for: evidence picks splines, or a tanh, where they made the data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from splines_by_hand import made

import structflow
from structflow.results.run import Run

FOLDER = Path(__file__).parents[1] / "specs"
SPECS = sorted(FOLDER.rglob("*.yaml"))
KINDS = {"co2/spec": 3, "diabetes": 7, "sine-and-abs": 2, "tanh": 2}
"""How many kinds of hidden units a spec chooses from."""
SHORT = [
    "model.nodes.h={shape: [4]}",
    "optimizer.inner.steps=400",
    "optimizer.restarts=1",
    "compute.compile=false",
]
RELAXED = ["regime=evidence", "model.nodes.h={shape: [8]}"]


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def probability_of(run: Run, kind: str) -> float:
    """The posterior probability of the structures whose hidden units are of a kind."""
    return math.fsum(entry["probability"] for entry in run.ranking if entry["structure"]["x->h"][0].startswith(kind))


def test_every_spec_is_known() -> None:
    """A new spec needs its number of kinds above."""
    assert {name_of(path) for path in SPECS} == set(KINDS)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=name_of(path), marks=[pytest.mark.thorough] * (path.stem == "diabetes")) for path in SPECS],
)
def test_spec_runs(path: Path, tmp_path: Path) -> None:
    """With one hidden unit, so that every kind is one structure."""
    small = ["model.nodes.h={shape: [1]}", "optimizer.inner.steps=5", "optimizer.restarts=1", "evidence.samples=4"]
    run = structflow.run(path, tmp_path / "run", overrides=[*small, "compute.compile=false"])
    assert run.summary["status"] == "finished"
    assert len(run.ranking) == KINDS[name_of(path)]
    assert all(math.isfinite(entry["log_evidence"]) for entry in run.ranking)


@pytest.mark.parametrize(("name", "kind"), [("sine-and-abs", "b_spline"), ("tanh", "dense:tanh")])
def test_evidence_picks_what_made_the_data(name: str, kind: str, tmp_path: Path) -> None:
    """With short training and one width; README.md has the figures of the specs as they stand."""
    run = structflow.run(FOLDER / f"{name}.yaml", tmp_path / "run", overrides=SHORT)
    assert probability_of(run, kind) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("overrides", [[], RELAXED], ids=["enumeration", "relaxed"])
@pytest.mark.parametrize(("name", "kind"), [("sine-and-abs", "b_spline"), ("tanh", "dense:tanh")])
def test_evidence_picks_it_with_the_settings_of_the_spec(
    name: str, kind: str, overrides: list[str], seed: int, tmp_path: Path
) -> None:
    """`pytest -m slow plugins/structflow-splines`: about half a minute for each of the twelve."""
    seeds = [f"seed={seed}", f"data.seed={seed}"]
    run = structflow.run(FOLDER / f"{name}.yaml", tmp_path / "run", overrides=[*seeds, *overrides])
    assert probability_of(run, kind) > 0.95
    if overrides:  # only what a restart rounds to is ranked, so the probability alone could not fail on a split
        (only,) = run.ranking
        assert only["restart_agreement"] == 1.0


def test_on_an_edge_into_the_output_the_evidence_is_exact(tmp_path: Path) -> None:
    """With noise σ and precision A fixed, y ~ N(0, σ² I + Φ Φᵀ / A): a full covariance must reach that density."""
    x = np.random.default_rng(0).normal(size=20)
    y = np.sin(2 * x) + 0.4 * np.random.default_rng(1).normal(size=20)
    path = tmp_path / "table.csv"
    path.write_text("x0,y\n" + "\n".join(f"{a!r},{b!r}" for a, b in zip(x.tolist(), y.tolist(), strict=True)))
    run = structflow.run(
        {
            "data": {
                "source": "csv",
                "path": str(path),
                "target": ["y"],
                "standardize": {"inputs": False, "targets": False},
            },
            "model": {
                "likelihood": {"type": "gaussian", "noise": 0.4},
                "edges": [{"from": "x", "to": "y", "basis": [{"type": "b_spline", "intervals": 4}]}],
            },
            "prior": {"weights": {"precision": 2.0}},
            "posterior": {"weights": {"covariance": "full"}},
            "optimizer": {"inner": {"lr": 0.03, "steps": 1500}, "restarts": 1},
            "compute": {"compile": False, "dtype": "float64"},
        },
        tmp_path / "run",
    )
    curves = made("b_spline", (1,), (1,), intervals=4).features(torch.as_tensor(x)).numpy()
    phi = np.column_stack([curves, np.ones(20)])  # 4 + 3 splines and the bias
    exact = multivariate_normal(np.zeros(20), 0.4**2 * np.eye(20) + phi @ phi.T / 2.0).logpdf(y)
    assert run.ranking[0]["log_evidence"] == pytest.approx(exact, abs=0.02)
