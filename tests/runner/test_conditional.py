"""The criterion `conditional` of linear models, whose evidence is known: log p(y) − log p of the first rows."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
from scipy.stats import multivariate_normal

import structflow
from structflow.errors import SpecError
from structflow.plugins.registry import registry
from structflow.results.run import Run
from structflow.runner.decided import decided_batch, trainings
from structflow.store.records import TrainRecord

ROWS, INPUTS, NOISE, PRECISION = 40, 3, 0.3, 2.0
RANDOM = np.random.default_rng(5)
LIKELIHOOD = {"type": "gaussian", "noise": NOISE}
X = RANDOM.normal(size=(ROWS, INPUTS))
Y = X @ np.array([1.0, -0.5, 0.0]) + NOISE * RANDOM.normal(size=ROWS)


def document(tmp_path: Path, **sections: Any) -> dict[str, Any]:
    np.savez(tmp_path / "table.npz", x=X, y=Y[:, None])
    edge = {"from": "x", "to": "y", "choose": "any", "min": 1}
    functions = [{"type": "linear", "bias": False}, {"type": "polynomial", "degree": 2}]
    return studies.spec(
        **{
            "data": {
                "source": "npz",
                "path": str(tmp_path / "table.npz"),
                "standardize": {"inputs": False, "targets": False},
            },
            "model": {
                **studies.model([{**edge, "basis": functions}]),
                "likelihood": {"type": "gaussian", "noise": NOISE},
            },
            "prior": {"weights": {"precision": PRECISION}},
            "posterior": {"weights": "full"},
            "criterion": {"type": "conditional", "first": 0.7, "orders": 3},
            "optimizer": {"inner": {"steps": 60}, "restarts": 2},
            "compute": {"compile": False, "dtype": "float64"},
            **sections,
        }
    )


def features(structure: dict[str, list[str]]) -> np.ndarray:
    one = np.ones((ROWS, 1))
    parts = {"linear": [X], "polynomial:2": [one, X, X**2]}
    return np.concatenate([part for name in structure["x->y"] for part in parts[name]], axis=1)


def log_evidence(phi: np.ndarray, rows: np.ndarray) -> float:
    """log N(y; 0, Φ Φᵀ / A + σ² I) of some rows."""
    covariance = phi[rows] @ phi[rows].T / PRECISION + NOISE**2 * np.eye(len(rows))
    return float(multivariate_normal.logpdf(Y[rows], np.zeros(len(rows)), covariance))


def folds_of(run: Run) -> np.ndarray:
    folds = run.context.fold_of_row(run.context.stages(0)[0])
    assert folds is not None
    return folds


@pytest.mark.parametrize("posterior", ["full", "laplace"])
def test_the_score_is_the_mean_over_orders(tmp_path: Path, posterior: str) -> None:
    """Three structures, three orders of 28 first rows: log p(y) − mean log p(y of the first rows), to 1e-6 nats."""
    run = structflow.run(document(tmp_path, posterior={"weights": posterior}), tmp_path / "run")
    folds = folds_of(run)
    assert [int((folds == fold).sum()) for fold in range(4)] == [4, 12, 12, 12]
    assert len(run.ranking) == 3
    for entry in run.ranking:
        phi = features(entry["structure"])
        parts = [log_evidence(phi, np.flatnonzero(folds != fold)) for fold in (1, 2, 3)]
        expected = log_evidence(phi, np.arange(ROWS)) - np.mean(parts)
        assert entry["score"] == pytest.approx(expected, abs=1e-6)
    scores = [entry["score"] for entry in run.ranking]
    assert all(first >= second for first, second in pairwise(scores))


def test_units_of_the_targets_count_for_the_later_rows(tmp_path: Path) -> None:
    """Standardised targets s y: the score in original units has 12 log s less, as 12 of 40 rows come last."""
    data = {"source": "npz", "path": str(tmp_path / "table.npz"), "standardize": {"inputs": False}}
    likelihood = {"type": "gaussian", "noise": NOISE}
    model = studies.model([{"from": "x", "to": "y", "basis": [{"type": "linear", "bias": False}]}])
    sections = {"data": data, "model": {**model, "likelihood": likelihood}}
    run = structflow.run(document(tmp_path, **sections), tmp_path / "run")
    folds, scale = folds_of(run), Y.std()
    y = (Y - Y.mean()) / scale

    def of_rows(rows: np.ndarray) -> float:
        covariance = X[rows] @ X[rows].T / PRECISION + (NOISE / scale) ** 2 * np.eye(len(rows))
        return float(multivariate_normal.logpdf(y[rows], np.zeros(len(rows)), covariance))

    parts = [of_rows(np.flatnonzero(folds != fold)) for fold in (1, 2, 3)]
    expected = of_rows(np.arange(ROWS)) - np.mean(parts) - 12 * math.log(scale)
    assert run.ranking[0]["score"] == pytest.approx(expected, abs=1e-6)


def best_of_each(run: Run) -> dict[str, float]:
    """By structure max_r log p(y) − mean_j max_r log p(y of the first rows of order j), from the records, in units."""
    context, best = run.context, defaultdict[str, dict[int, float]](dict)
    for task in trainings(context.plan, 0):
        decided = decided_batch(context.directory, task)
        assert decided is not None
        found = context.directory.read(task.name, TrainRecord).members
        for member, trained in zip(decided.members, found, strict=True):
            assert member.structure is not None
            assert trained.score is not None
            of_structure = best[str(member.structure.as_dict())]
            of_structure[member.fold] = max(trained.score, of_structure.get(member.fold, -math.inf))
    scale = math.log(context.study.dataset.target_scale[0]) * (folds_of(run) == 1).sum()
    return {name: parts[0] - (parts[1] + parts[2]) / 2 - scale for name, parts in best.items()}


def test_of_the_restarts_of_each_order_the_best_counts(tmp_path: Path) -> None:
    """A network's score is the best evidence less the mean of the best of each order, whatever the batches."""
    found = []
    for members in ("auto", 3):
        spec = studies.spec(
            criterion={"type": "conditional", "orders": 2},
            posterior={"weights": "laplace"},
            optimizer={"inner": {"steps": 60}, "restarts": 3},
            compute={"compile": False, "dtype": "float64", "members_per_batch": members},
        )
        run = structflow.run(spec, tmp_path / str(members))
        found.append({str(entry["structure"]): entry["score"] for entry in run.ranking})
        expected = best_of_each(run)
        assert expected == pytest.approx({str(entry["structure"]): entry["score"] for entry in run.ranking}, abs=1e-9)
    assert found[0].keys() == found[1].keys()
    for name, score in found[0].items():
        assert score == pytest.approx(found[1][name], abs=1e-6)
        assert math.isfinite(score)


def test_orders_have_different_last_rows() -> None:
    """Nothing is last in two orders, and the same seed gives the same orders."""
    registration = registry().of_kind("criteria")["conditional"]
    options = registration.options(first=0.75, orders=4)
    plugin = registration.plugin
    folds = plugin.fold_of_row(options, 21, None, 3)
    assert sorted(np.unique(folds, return_counts=True)[1]) == [1, 5, 5, 5, 5]
    assert (folds == plugin.fold_of_row(options, 21, None, 3)).all()
    assert (folds != plugin.fold_of_row(options, 21, None, 4)).any()


@pytest.mark.parametrize(
    ("criterion", "path"),
    [({"orders": 4}, "criterion.orders"), ({"first": 0.995}, "criterion.first")],
)
def test_what_cannot_be_parted_is_refused(tmp_path: Path, criterion: dict[str, Any], path: str) -> None:
    """Four times 30 % of the rows, and no row at all."""
    with pytest.raises(SpecError) as raised:
        structflow.run(document(tmp_path, criterion={"type": "conditional", **criterion}), tmp_path / "run")
    (problem,) = raised.value.problems
    assert problem.path == path
    assert problem.suggestion
