"""A run trains, ranks and weighs every function once, whatever its regime says."""

from __future__ import annotations

import math

import pytest
import studies

from structflow.objective.structure_prior import log_priors
from structflow.plugins import Candidate, Decision
from structflow.plugins.registry import registry
from structflow.results.marginals import marginal_probabilities
from structflow.spec.structures import Structure

DEAD_CHOICE = [
    studies.EDGE,
    {"from": "h", "to": "y", "choose": "one", "basis": ["zero", "linear"]},
    {"from": "x", "to": "y", "basis": [{"type": "linear", "name": "straight"}]},
]
"""h is tanh or relu, and read or not: three functions in four combinations."""

TINY = {"optimizer": {"inner": {"steps": 4}, "restarts": 1}}


def document(**sections):
    return studies.spec(model=studies.model(DEAD_CHOICE, h={"shape": [2]}), **{**TINY, **sections})


def test_a_dead_choice_is_neither_trained_nor_shown(tmp_path):
    """The structure without h has the prior 1/2 of its two combinations, and no weights of x->h."""
    run = studies.run(document(), tmp_path / "run")
    assert run.summary["n_structures"] == 3
    by_choice = {(tuple(e["structure"]["x->h"]), tuple(e["structure"]["h->y"])): e for e in run.ranking}
    assert set(by_choice) == {((), ("zero",)), (("dense:tanh",), ("linear",)), (("dense:relu",), ("linear",))}
    priors = {choice: math.exp(entry["log_prior"]) for choice, entry in by_choice.items()}
    assert list(priors.values()) == pytest.approx([0.5 if choice[0] == () else 0.25 for choice in priors])
    weights = {choice: entry["score"] + entry["log_prior"] for choice, entry in by_choice.items()}
    best = max(weights.values())
    total = math.fsum(math.exp(weight - best) for weight in weights.values())
    for choice, entry in by_choice.items():
        assert entry["probability"] == pytest.approx(math.exp(weights[choice] - best) / total)
    found = marginal_probabilities(run.ranking)["x->h"]
    assert found["∅"] == pytest.approx(by_choice[(), ("zero",)]["probability"])
    assert math.fsum(found.values()) == pytest.approx(1)
    off = next(part for part in run.predictor.parts if part.structure["x->h"] == [])
    owners = {group.name for group in off.trained.bound.population.layout.groups}
    assert owners == {"x->y/straight"}


def test_what_restarts_round_to_is_canonical(tmp_path):
    """Every restart rounds to one of the three structures of the space, and each is trained once."""
    run = studies.run(document(regime={"type": "evidence"}, optimizer={"inner": {"steps": 4}, "restarts": 4}), tmp_path)
    space = run.context.study.space
    rounded = [Structure.from_dict(item) for item in run.summary["relaxed"]["rounded"]]
    assert all(space.canonical_form(structure) == structure for structure in rounded)
    assert {Structure.from_dict(entry["structure"]) for entry in run.ranking} == set(rounded)


def test_a_regime_may_name_combinations_and_each_function_is_trained_once(tmp_path, monkeypatch):
    """A third-party regime that lists all four combinations: three members a restart, within its bound."""
    plugin = registry().get("regimes", "enumeration")
    combinations = [
        Structure((("x->h", (one,)), ("h->y", (other,)), ("x->y", ("straight",))))
        for one in ("dense:tanh", "dense:relu")
        for other in ("zero", "linear")
    ]
    monkeypatch.setattr(
        plugin, "decide", staticmethod(lambda *given: Decision([Candidate(each, 0) for each in combinations]))
    )
    run = studies.run(document(), tmp_path / "run")
    assert len(run.ranking) == run.summary["n_structures"] == 3


def test_the_prior_is_that_among_what_is_open(tmp_path):
    """With relu closed there are two functions, read or not, each with prior 1/2."""
    study = studies.study(document(regime={"type": "enumeration", "open": {"x->h": ["dense:tanh"]}}))
    structures = [
        Structure((("x->h", ()), ("h->y", ("zero",)), ("x->y", ("straight",)))),
        Structure((("x->h", ("dense:tanh",)), ("h->y", ("linear",)), ("x->y", ("straight",)))),
    ]
    assert log_priors(structures, study.space, study.spec) == pytest.approx([math.log(0.5)] * 2)
