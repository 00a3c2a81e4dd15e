"""Several estimators in one run: their names, who is asked of them, and the warnings about what they say."""

from __future__ import annotations

import math

import pytest
import studies
import summaries
from rich.console import Console

from structflow.errors import SpecError
from structflow.plugins.registry import registry
from structflow.report.estimates_table import estimates_table
from structflow.results.estimator_warnings import disagreements, missing_estimates, unsure_estimates
from structflow.spec.estimator_labels import estimator_labels

KIND = registry().of_kind("evidence_estimators")
RELU, TANH = {"x->h": ["dense:relu"]}, {"x->h": ["dense:tanh"]}


def options(name, **values):
    return KIND[name].options.model_validate(values)


def smooth():
    """tanh or sin in two hidden units, whose modes are reached in a few steps."""
    edge = {**studies.EDGE, "basis": [{"type": "dense"}, {"type": "dense", "activation": "sin"}]}
    return studies.model([edge, studies.LAST], h={"shape": [2]})


def evidence(*estimators, samples=16):
    return {"estimators": list(estimators), "samples": samples}


def test_names_tell_estimators_of_one_type_apart():
    listed = (options("laplace"), options("elbo"), options("laplace", hessian="ggn"), options("iwelbo", k=4))
    assert estimator_labels(listed) == ("laplace", "elbo", "laplace(hessian=ggn)", "iwelbo")
    annealed = (options("ais", **{"from": "posterior", "chains": 8}), options("ais", schedule="power"))
    assert estimator_labels(annealed) == ("ais(from=posterior, chains=8)", "ais(schedule=power)")


def test_the_same_estimator_twice_is_refused():
    """With its default written out it is still the same."""
    with pytest.raises(SpecError, match=r"estimators\[1\]: 'iwelbo' is listed before") as refused:
        studies.study(studies.spec(evidence=evidence("iwelbo", {"type": "iwelbo", "k": 16})))
    assert "other options" in str(refused.value)


def test_a_run_shows_all_and_ranks_by_the_first(tmp_path):
    ggn, few = {"type": "laplace", "hessian": "ggn"}, {"type": "iwelbo", "k": 2}
    names = ["iwelbo", "elbo", "laplace", "laplace(hessian=ggn)"]
    document = studies.spec(model=smooth(), evidence=evidence(few, "elbo", "laplace", ggn))
    run = studies.run(document, tmp_path / "run")
    for entry in run.ranking:
        assert list(entry["evidence"]) == list(entry["evidence_se"]) == names
        assert entry["score"] == entry["log_evidence"] == entry["evidence"]["iwelbo"]
        assert entry["evidence"]["iwelbo"] is not None
        assert entry["evidence_se"]["iwelbo"] > 0
    assert run.dataset["setting_0/ranking"]["estimator"].values.tolist() == names


@pytest.mark.thorough
def test_relaxed_members_have_their_bound_whatever_is_listed(tmp_path):
    """Under the regime evidence: q(Γ) by the bound, the structures that it rounds to by Laplace."""
    run = studies.run(studies.spec(model=smooth(), regime="evidence", evidence=evidence("laplace")), tmp_path / "run")
    assert math.isfinite(run.summary["relaxed"]["bound"])
    assert run.summary["relaxed"]["bound_se"] > 0
    for entry in run.ranking:
        assert list(entry["evidence"]) == ["laplace"]


def test_where_q_is_a_point_what_needs_no_density_is_shown(tmp_path):
    """Under the preset map structures are ranked by log p(y, w); Laplace's log evidence stands beside it."""
    prior, objective = {"weights": {"precision": 1.0}}, {"preset": "map"}
    document = studies.spec(model=smooth(), objective=objective, prior=prior, evidence=evidence("elbo", "laplace"))
    run = studies.run(document, tmp_path / "run")
    for entry in run.ranking:
        assert list(entry["evidence"]) == ["laplace"]
        assert entry["log_evidence"] == entry["evidence"]["laplace"] != entry["score"]


def entry(structure, log_prior=0.0, rank=1, **values):
    """An entry of the ranking: (estimate, standard error) by estimator."""
    return summaries.ranking_entry(
        structure,
        log_prior=log_prior,
        rank=rank,
        evidence={name: value for name, (value, _) in values.items()},
        evidence_se={name: error for name, (_, error) in values.items()},
    )


def test_a_disagreement_beyond_two_errors_is_told():
    """3 nats against errors of 0.5 each, √2 · 0.5 · 2 = 1.41; Laplace, without an error, prefers relu by 1.25."""
    both = entry(TANH, elbo=(-10, 0.5), laplace=(-8.25, 0)), entry(RELU, elbo=(-13, 0.5), laplace=(-7, 0))
    assert disagreements(both) == [
        "estimators disagree on the best structure: elbo says x->h dense:tanh, by 3.00 nats; laplace says "
        "x->h dense:relu, by 1.25"
    ]


def test_the_terminal_shows_every_estimate():
    """A column for each, options on a line of their own; an error only where there is one, a dash for no value."""
    entries = [
        entry(TANH, rank=1, **{"elbo": (-10, 0.5), "laplace(hessian=ggn)": (-8.256, 0)}),
        entry(RELU, rank=2, **{"elbo": (-13, 0.25), "laplace(hessian=ggn)": (None, 0)}),
    ]
    console = Console(width=80, record=True)
    estimates_table(entries, 10).print(console)
    lines = [line.split() for line in console.export_text().splitlines() if line.strip("─ ")]
    assert lines == [
        ["laplace"],
        ["rank", "elbo", "(hessian=ggn)"],
        ["1", "-10.00", "±", "0.50", "-8.26"],
        ["2", "-13.00", "±", "0.25", "–"],
    ]


@pytest.mark.parametrize(
    ("tanh", "relu"),
    [
        ({"elbo": (-10, 0.5), "ais": (-8, 0.5)}, {"elbo": (-11.4, 0.5), "ais": (-5, 0.5)}),  # the bound may be mistaken
        ({"elbo": (-10, 0.5), "ais": (-8, 0.5)}, {"elbo": (-13, 0.5), "ais": (-6.7, 0.5)}),  # the other may be
        ({"elbo": (-10, 0.5), "ais": (-8, None)}, {"elbo": (-13, 0.5), "ais": (-5, 0.5)}),  # an error isn't known
        ({"elbo": (-10, 0.5), "ais": (-5, 0.5)}, {"elbo": (-13, 0.5), "ais": (-8, 0.5)}),  # they agree
        ({"elbo": (-10, 0.5), "ais": (None, None)}, {"elbo": (-13, 0.5), "ais": (-5, 0.5)}),  # unknown
    ],
)
def test_nothing_is_told_of_what_isn_t_sure(tanh, relu):
    assert disagreements([entry(TANH, **tanh), entry(RELU, **relu)]) == []


def test_structures_count_with_their_prior():
    """One function is ahead by 0.5 nats by the bound, but a prior of e² puts both first."""
    one, both = {"x->y": ["linear"]}, {"x->y": ["linear", "dense:tanh"]}
    entries = entry(one, elbo=(-10, 0), laplace=(-10, 0)), entry(both, 2.0, elbo=(-10.5, 0), laplace=(-13, 0))
    assert disagreements(entries) == [
        "estimators disagree on the best structure: elbo says x->y linear + dense:tanh, by 1.50 nats; laplace says "
        "x->y linear, by 1.00"
    ]


def test_a_value_that_is_no_number_is_told_too():
    """As where a bound overflows, without a reason of the estimator's own."""
    member = studies.evaluation(TANH, evidence={"elbo": -1.0, "iwelbo": None})
    assert missing_estimates([member]) == [
        "iwelbo has no value for 1 structure(s); x->h dense:tanh: its estimate isn't a finite number"
    ]


def test_structures_are_named_under_each_reason():
    """Three of five names for the first reason; the estimator that ranks is told of before the ranking instead."""
    members = [
        studies.evaluation(
            {"x->h": [f"dense:{name}"]},
            evidence={"ais": None, "laplace": None},
            evidence_missing={"laplace": "a kink" if name < "e" else "no mode"},
        )
        for name in "abcde"
    ]
    assert missing_estimates(members) == [
        "laplace has no value for 5 structure(s); x->h dense:a | x->h dense:b | x->h dense:c and 1 more: a kink; "
        "x->h dense:e: no mode"
    ]


def test_an_unknown_error_is_told_with_its_reason():
    unsure = summaries.ranking_entry(TANH, evidence_unsure={"ais": "one chain"})
    known = summaries.ranking_entry(RELU)
    assert unsure_estimates([unsure, known]) == [
        "ais has no standard error for 1 structure(s), so that no tie or disagreement is decided by it; "
        "x->h dense:tanh: one chain"
    ]
