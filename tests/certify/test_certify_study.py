"""Certificates of studies: what is opened, with which steps, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import studies

import structflow
from structflow.certify.study import Wanted, certify_study, refuse_another_run
from structflow.errors import CallError

SMALL = Wanted(methods=("reversible",), steps=3)
TANH = {"type": "dense", "activation": "tanh"}
ONE_EDGE = studies.model([{"from": "x", "to": "y", "basis": [TANH]}])


def certified(document: dict[str, Any], wanted: Wanted = SMALL) -> dict[str, Any]:
    return certify_study(studies.study(document), wanted)


def rows(certificate: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["type"]: row for row in certificate["methods"]}


@pytest.mark.thorough
def test_every_method_that_has_a_hypergradient_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 with gradient steps in place of Adam; JSON as the standard has it; not a file is left."""
    monkeypatch.chdir(tmp_path)
    found = certified(studies.spec(), Wanted(steps=3))
    assert list(tmp_path.iterdir()) == []
    own = {"unroll", "drmad", "first_order", "greedy", "hoag", "one_level", "reversible"}
    assert own <= set(rows(found))  # beside those of other packages
    assert "random_search" not in rows(found)
    assert found["own_method"] == "one_level"
    assert (found["inner"]["type"], found["inner"]["in_place_of"], found["inner"]["steps"]) == ("sgd", "adam", 3)
    assert 0 < found["inner"]["rate"] < 1
    for name in ("unroll", "reversible"):
        assert rows(found)[name]["relative_error"] < 1e-5
        assert rows(found)[name]["verdict"] == "exact"
    activations = [member["structure"]["x->h"] for member in found["members"]]
    assert activations == [["dense:tanh"], ["dense:relu"]]  # one of each structure
    assert found["n_hyperparameters"] == [1, 1]
    json.dumps(found, allow_nan=False)


def test_gradient_steps_of_the_spec_are_taken_as_they_are() -> None:
    """Rate, momentum and minibatches; precisions by name and place."""
    inner = {"type": "sgd", "lr": 1e-3, "momentum": 0.5, "decay": "none", "batch_size": 10, "steps": 30}
    document = studies.spec(
        optimizer={"inner": inner, "restarts": 1}, prior={"weights": {"precision": "per_parameter"}}
    )
    found = certified(document, Wanted(methods=("reversible",), steps=3, members=1, coordinates=4))
    step = found["inner"]
    assert (step["type"], step["rate"], step["momentum"], step["in_place_of"]) == ("sgd", 1e-3, 0.5, None)
    assert found["n_hyperparameters"] == [2 * 2 + 2 + 2 + 1]  # weights and biases of both edges
    assert len(found["coordinates"]) == 4
    for each in found["coordinates"]:
        assert each["name"].startswith("log_precision/")
        assert len(each["index"]) in (1, 2)
        assert each["gradients"]["reversible"] == pytest.approx(each["difference"], rel=1e-4, abs=1e-7)


def test_methods_that_follow_no_path_take_the_steps_of_adam() -> None:
    found = certified(studies.spec(), Wanted(methods=("greedy",), steps=3))
    assert (found["inner"]["type"], found["inner"]["rate"]) == ("adam", 0.01)
    assert list(rows(found)) == ["greedy"]


def test_at_the_optimum_hoag_is_exact() -> None:
    """Where c_prior is 4, the direct derivative isn't."""
    document = studies.spec(
        model=studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]),
        objective={"c_prior": 4},
        optimizer={"outer": {"type": "hoag", "samples": 4}, "restarts": 1},
    )
    found = certified(document, Wanted(at="optimum"))
    assert {"implicit", "hoag", "greedy", "first_order"} <= set(rows(found))
    assert not {"drmad", "reversible"} & set(rows(found))
    assert rows(found)["hoag"]["relative_error"] < 1e-4
    assert rows(found)["hoag"]["report"]["damping"] == [0.0]
    assert rows(found)["first_order"]["relative_error"] > 1e-4
    assert found["samples"] == 4


def test_folds_are_of_members_that_are_judged() -> None:
    """A fold of cross-validation, whose Q is its held-out likelihood; no member learns from all rows."""
    document = studies.spec(
        model=ONE_EDGE,
        objective={"preset": "cross_validation", "folds": 2},
        optimizer={"outer": "hoag", "restarts": 2},
    )
    found = certified(document)
    assert [(member["fold"], member["restart"]) for member in found["members"]] == [(1, 0), (1, 1)]
    assert rows(found)["reversible"]["relative_error"] < 1e-5


@pytest.mark.thorough
def test_a_relaxed_structure_has_its_concentrations_certified() -> None:
    """A learned p(Γ) moves from the first step on, though a run would hold it for a quarter of them."""
    prior = {"structure": {"type": "gumbel_softmax", "learned": True}}
    choice = studies.model([{"from": "x", "to": "y", "choose": "one", "basis": [TANH, "linear"]}])
    found = certified(studies.spec(model=choice, regime="evidence", prior=prior))
    assert {each["name"] for each in found["coordinates"]} == {"log_precision", "prior_structure/x->y"}
    assert rows(found)["reversible"]["relative_error"] < 1e-5


def test_a_hyperparameter_without_influence_is_named() -> None:
    """Biases start at 0, so that after one step of a point posterior their precisions have done nothing."""
    document = studies.spec(
        model=ONE_EDGE,
        prior={"weights": {"precision": "per_parameter"}},
        objective={"preset": "hold_out"},
        optimizer={"outer": "hoag", "restarts": 1},
    )
    with pytest.raises(CallError, match=r"log_precision/.*/bias\[0\].* no influence on Q"):
        certified(document, Wanted(methods=("reversible",), steps=1))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(methods=("hog",)), "no hypergradient named hog; expected one of "),
        (Wanted(methods=("random_search",)), "random_search has no hypergradient"),
        (Wanted(methods=("drmad",), at="optimum"), "drmad differentiates through steps"),
    ],
)
def test_methods_that_cannot_be_certified_are_refused(wanted: Wanted, words: str) -> None:
    with pytest.raises(CallError, match=words):
        certified(studies.spec(), wanted)


def test_only_a_run_of_the_same_study_takes_a_certificate(tmp_path: Path) -> None:
    document = studies.spec(optimizer={"inner": {"steps": 2}, "restarts": 1})
    structflow.run(document, tmp_path / "run")
    refuse_another_run(studies.study(document), tmp_path / "run")
    with pytest.raises(CallError, match="holds a run of another study:\n  seed: 0 → 1"):
        refuse_another_run(studies.study({**document, "seed": 1}), tmp_path / "run")
    with pytest.raises(CallError, match="is not a run directory"):
        refuse_another_run(studies.study(document), tmp_path)
