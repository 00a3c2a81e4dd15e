"""The ways to optimise hyperparameters from spec to ranking, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import studies

import structflow
from structflow.errors import SpecError

SGD = {"type": "sgd", "lr": 1e-3, "momentum": 0.5}


def document(outer: dict[str, Any], inner: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    optimizer = {"inner": {"steps": 40, **(inner or {})}, "outer": outer, "restarts": 3}
    return studies.spec(optimizer=optimizer, **sections)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({"type": "greedy"}, {}),
        ({"type": "greedy"}, SGD),
        pytest.param({"type": "drmad", "every": 10, "stride": 2}, SGD, marks=pytest.mark.thorough),
        ({"type": "reversible", "every": 10}, SGD),
    ],
    ids=lambda value: value.get("type", "adam"),
)
def test_they_move_the_precisions_of_every_member(tmp_path: Path, outer: dict[str, Any], inner: dict[str, Any]) -> None:
    run = structflow.run(document(outer, inner), tmp_path / "run")
    assert run.summary["status"] == "finished"
    moved = [entry["hyperparameters"]["log_precision"] for entry in run.ranking]
    assert len(moved) == 2
    assert all(abs(value) > 0.01 for value in moved)  # they start at log 1


def test_random_search_keeps_what_every_restart_drew(tmp_path: Path) -> None:
    """Within log 0.1 and log 100, the same from the same seed, and not moved by more steps."""
    prior = {"weights": {"start_range": [0.1, 100]}}
    found = []
    for steps in (20, 40):
        spec = document({"type": "random_search"}, {"steps": steps}, prior=prior)
        run = structflow.run({**spec, "optimizer": {**spec["optimizer"], "restarts": 1}}, tmp_path / str(steps))
        found.append({str(e["structure"]): e["hyperparameters"]["log_precision"] for e in run.ranking})
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert len(set(found[0].values())) == 2
    assert all(math.log(0.1) < value < math.log(100) for value in found[0].values())


@pytest.mark.parametrize(
    ("outer", "inner", "path", "words"),
    [
        ({"type": "drmad"}, {}, "optimizer.inner.type", "got adam; optimizer.outer drmad differentiates"),
        ({"type": "reversible"}, {}, "optimizer.inner.type", "got adam; optimizer.outer reversible differentiates"),
        ({"type": "one_level"}, {"momentum": 0.9}, "optimizer.inner.momentum", "unknown key 'momentum'"),
        ({"type": "random_search"}, {}, "optimizer.outer", "prior.weights.start_range is not given"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, outer: Any, inner: Any, path: str, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        structflow.run(document(outer, inner), tmp_path / "run")
    (problem,) = raised.value.problems
    assert problem.path == path
    assert words in problem.message
    assert problem.suggestion
