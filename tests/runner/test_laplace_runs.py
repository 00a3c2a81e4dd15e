"""The posterior `laplace` from spec to ranking and prediction, under every likelihood and regime that takes it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies

import structflow
from structflow.errors import SpecError
from structflow.train import mode_search

LAPLACE = {"weights": "laplace"}
OPTIMIZER = {"inner": {"steps": 120, "lr": 0.03}, "outer": {"type": "laplace", "every": 20}, "restarts": 2}


def document(**sections: Any) -> dict[str, Any]:
    return studies.spec(**{"posterior": LAPLACE, "optimizer": OPTIMIZER, **sections})


def test_precisions_and_noise_are_learned_by_the_evidence(tmp_path: Path) -> None:
    """Both move from log 1; the evidence ranks and has no standard error; predictions have a spread."""
    run = structflow.run(document(prior={"weights": {"precision": "shared"}}), tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert len(run.ranking) == 2
    for entry in run.ranking:
        assert list(entry["evidence"]) == ["laplace"]
        assert entry["log_evidence"] == entry["evidence"]["laplace"]
        assert entry["log_evidence_se"] == 0
        of_h = entry["hyperparameters"]
        assert abs(of_h["log_precision"]) > 0.01
        assert of_h["likelihood/log_noise"][0] < -0.05
        assert math.isfinite(entry["metrics"]["test"]["log_likelihood"])
    found = run.predict(np.zeros((3, 2)))
    assert found.mean.shape == (3, 1)
    assert (found.standard_deviation > 0).all()


def test_steps_of_the_weights_leave_the_noise_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where h isn't raised once, noise and precision are as they started, 1: the evidence is to choose them."""
    monkeypatch.setattr(mode_search, "MOST_ROUNDS", 1)  # the end of the stage raises it only between rounds
    outer = {"type": "laplace", "every": 20, "burn_in": 0.9}
    optimizer = {**OPTIMIZER, "inner": {"steps": 30, "lr": 0.03}, "outer": outer}
    run = structflow.run(document(optimizer=optimizer, prior={"weights": {"precision": "shared"}}), tmp_path / "run")
    for entry in run.ranking:
        assert entry["hyperparameters"] == {"log_precision": 0.0, "likelihood/log_noise": [0.0]}


def test_a_batch_of_its_own_changes_nothing(tmp_path: Path) -> None:
    """In float64, members one at a time: the same evidence and metrics to 1e-7."""
    found = []
    for members in (1, 4):
        compute = {"compile": False, "dtype": "float64", "members_per_batch": members}
        run = structflow.run(document(compute=compute), tmp_path / str(members))
        found.append({str(entry["structure"]): entry for entry in run.ranking})
    for name, entry in found[0].items():
        other = found[1][name]
        assert entry["log_evidence"] == pytest.approx(other["log_evidence"], abs=1e-7)
        assert entry["metrics"]["test"] == pytest.approx(other["metrics"]["test"], rel=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "poisson"])
def test_labels_and_counts(tmp_path: Path, likelihood: str) -> None:
    """Laplace's evidence by the likelihood's own curvature; probabilities, or counts, of new rows."""
    rows = np.random.default_rng(3)
    x = rows.normal(size=(60, 2))
    y = (x[:, :1] > 0).astype(float) if likelihood != "poisson" else rows.poisson(np.exp(x[:, :1])).astype(float)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    data = {"source": "npz", "path": str(tmp_path / "table.npz"), "split": {"test": 0.25}}
    model = studies.model([studies.EDGE, studies.LAST], h={"shape": [2]})
    run = structflow.run(document(data=data, model={**model, "likelihood": likelihood}), tmp_path / "run")
    best = run.ranking[0]
    assert math.isfinite(best["evidence"]["laplace"])
    null = {"bernoulli": -math.log(2), "categorical": -math.log(2), "poisson": -2.5}[likelihood]
    assert best["metrics"]["test"]["log_likelihood"] > null
    found = run.predict(np.array([[-2.0, 0.0], [2.0, 0.0]]))
    assert found.mean[1, -1] > found.mean[0, -1]


@pytest.mark.parametrize(
    "regime",
    [{"type": "growth"}, pytest.param({"type": "weight_pruning", "criterion": "random"}, marks=pytest.mark.thorough)],
)
def test_discrete_regimes_take_it(tmp_path: Path, regime: dict[str, Any]) -> None:
    """Growth from the simplest structure; weights pruned and trained again: every entry has Laplace's evidence."""
    model = studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]})
    run = structflow.run(document(model=model, regime=regime), tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert all(math.isfinite(entry["evidence"]["laplace"]) for entry in run.ranking)


@pytest.mark.parametrize("regime", ["evidence", "pruning"])
def test_relaxed_rounds_are_variational_and_hand_their_structures_on(tmp_path: Path, regime: str) -> None:
    """The relaxed round has a diagonal q with a density, and the structures it leads to have Laplace's evidence."""
    run = structflow.run(document(regime=regime), tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert run.ranking
    assert all(math.isfinite(entry["evidence"]["laplace"]) for entry in run.ranking)
    relaxed = studies.trained(run)[0].arrays
    assert any(name.startswith("parameter/log_sd") for name in relaxed)


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        (
            {"optimizer": {**OPTIMIZER, "outer": "one_level"}},
            "optimizer.outer",
            "precisions and noise need the evidence",
        ),
        ({"evidence": {"estimators": ["elbo"]}}, "evidence.estimators[0]", "needs a density of q"),
        ({"criterion": "waic"}, "posterior.weights.type", "needs a density while weights are trained"),
        ({"prior": {"weights": "double_exponential"}}, "prior.weights.type", "needs a normal prior"),
        ({"objective": {"c_reg": 0.5, "c_prior": 0.5}}, "objective.c_reg", "c_reg = 1"),
        ({"posterior": {"weights": "diagonal"}}, "optimizer.outer", "needs posterior.weights.type laplace"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, sections: dict[str, Any], path: str, words: str) -> None:
    """With the path, what was got, and what to do."""
    with pytest.raises(SpecError) as raised:
        structflow.run(document(**sections), tmp_path / "run")
    problem = next(each for each in raised.value.problems if each.path == path)
    assert words in problem.message
    assert problem.suggestion
