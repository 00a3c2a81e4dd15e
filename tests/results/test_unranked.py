"""Structures without a rank are named before the ranking; an estimator that raises costs only its own value."""

from __future__ import annotations

import json

import pytest
import studies
import summaries

from structflow.errors import CallError
from structflow.plugins import Estimate
from structflow.plugins.registry import registry
from structflow.report.text import print_summary
from structflow.results.models import FailedMembers
from structflow.results.unranked import unranked_structures, unranked_warning
from structflow.store.records import SelectedStructure, SelectRecord

LINEAR, DENSE = {"x->y": ["linear"]}, {"x->y": ["dense:tanh"]}
NOT_LINEAR = "the model isn't linear in its weights, so that its evidence has no closed form"


def document(*estimators, basis=("linear", "dense"), **sections):
    """One edge, a step or two of training."""
    edges = [{"from": "x", "to": "y", "choose": "one", "basis": list(basis)}]
    return studies.spec(
        model=studies.model(edges), optimizer={"inner": {"steps": 4}, "restarts": 1},
        evidence={"estimators": list(estimators), "samples": 8}, **sections,
    )  # fmt: skip


def raising_for(monkeypatch, name, where, error):
    """Make an estimator raise where any member of those it is given chose a function."""
    plugin = registry().get("evidence_estimators", name)
    own = plugin.estimate

    def estimate(options, trained, samples):
        if any(where in dict(member.structure.edges)["x->y"] for member in trained.bound.population.members):
            raise error
        found = own(options, trained, samples)
        assert isinstance(found, Estimate)
        return found

    monkeypatch.setattr(plugin, "estimate", staticmethod(estimate))


def test_what_the_estimator_that_ranks_lacks_is_said_first(cli, tmp_path):
    """`exact` has no value for a tanh: one line above the ranking, a row without a rank, an entry in the JSON form."""
    path = studies.write(document("exact", "elbo"), tmp_path)
    called = cli("run", path, "-o", tmp_path / "run")
    assert called.code == 0, called.err
    headline = (
        "1 of 2 structures have no rank; the best may be among them, and probabilities count the other 1 alone. "
        f"x->y dense:tanh: exact has no value ({NOT_LINEAR}). To rank all of them, list elbo first in "
        "evidence.estimators: nothing is trained again"
    )
    lines = [line for line in called.out.splitlines() if line.strip()]
    assert lines[1].startswith("warning: 1 of 2 structures have no rank")
    words = " ".join(called.out.split())
    assert words.count(f"warning: {headline}") == words.count("have no rank") == 1
    assert ["–", "dense:tanh", "–", "–"] in [line.split() for line in lines]
    summary = json.loads(cli("show", tmp_path / "run", "--json").out)
    assert summary["warnings"][0] == headline
    assert [entry["structure"] for entry in summary["ranking"]] == [LINEAR]
    (entry,) = summary["unranked"]
    assert (entry["structure"], entry["estimator"], entry["reason"]) == (DENSE, "exact", NOT_LINEAR)
    assert entry["evidence"]["exact"] is None
    assert entry["evidence"]["elbo"] < 0


def test_where_it_lacks_all_there_is_nothing_to_rank(cli, tmp_path):
    """Exit code 1, what other estimators say, and what to do."""
    path = studies.write(document("exact", "elbo", basis=("dense", {"type": "dense", "activation": "sin"})), tmp_path)
    called = cli("run", path, "-o", tmp_path / "run")
    assert called.code == 1
    assert "warning: no structure has a rank. x->y dense:sin | x->y dense:tanh: exact has no value" in " ".join(
        called.out.split()
    )
    assert "list elbo first in evidence.estimators" in called.out
    rows = [line.split() for line in called.out.splitlines() if line.strip().startswith("–")]
    assert [row[:4] for row in rows] == [["–", "x->y", "dense:sin", "–"], ["–", "x->y", "dense:tanh", "–"]]
    refused = cli("predict", tmp_path / "run", tmp_path / "none.csv")
    assert refused.code == 2


def test_a_secondary_estimator_that_raises_costs_its_own_column(tmp_path, monkeypatch, capsys):
    """The structure stays ranked, beside one that has a value; as code failed, the command ends with 1."""
    raising_for(monkeypatch, "laplace", "dense:tanh", ZeroDivisionError("by\nzero"))
    run = studies.run(document("elbo", "laplace"), tmp_path / "run")
    entries = {entry["structure"]["x->y"][0]: entry for entry in run.ranking}
    assert set(entries) == {"linear", "dense:tanh"}
    assert entries["linear"]["evidence"]["laplace"] is not None
    assert entries["dense:tanh"]["evidence"]["laplace"] is None
    error = "evidence estimator 'laplace' of package structflow: estimate raised ZeroDivisionError: by zero"
    assert entries["dense:tanh"]["evidence_missing"] == {"laplace": f"its code failed: {error}"}
    warning = f"estimator laplace failed for 1 structure(s), which have no value by it: {error} (x->y dense:tanh)"
    assert run.summary["warnings"] == [warning]
    assert run.summary["unranked"] == []
    (failure,) = run.summary["failures"]
    assert (failure["estimator"], failure["structure"], failure["during"]) == ("laplace", DENSE, "evaluation")
    assert not run.summary.is_whole
    print_summary(run.summary, 10)
    assert f"warning: {warning}" in " ".join(capsys.readouterr().out.split())


def test_an_estimator_that_refuses_some_is_no_failure(tmp_path, monkeypatch):
    """A `CallError`, as for too many weights: a reason of its own, and the command ends with 0."""
    raising_for(monkeypatch, "laplace", "dense:tanh", CallError("too many weights for laplace"))
    run = studies.run(document("elbo", "laplace"), tmp_path / "run")
    assert len(run.ranking) == 2
    assert run.summary["warnings"] == [
        "laplace has no value for 1 structure(s); x->y dense:tanh: too many weights for laplace"
    ]
    assert run.summary.is_whole


def test_one_that_ranks_and_raises_takes_the_structure_out_aloud(tmp_path, monkeypatch):
    """Three structures in a batch, the middle one raises: the others have the values that they have without it."""
    powers = {"type": "polynomial", "degree": 2}
    basis = ("linear", powers, "constant")
    expected = studies.run(document("exact", "elbo", basis=basis), tmp_path / "expected")
    raising_for(monkeypatch, "exact", "polynomial:2", ValueError("no"))
    run = studies.run(document("exact", "elbo", basis=basis), tmp_path / "run")
    values = {tuple(entry["structure"]["x->y"]): entry["score"] for entry in run.ranking}
    wanted = {tuple(entry["structure"]["x->y"]): entry["score"] for entry in expected.ranking}
    del wanted["polynomial:2",]
    assert values == pytest.approx(wanted, abs=1e-9)
    assert run.summary["warnings"][0].startswith(
        "1 of 3 structures have no rank; the best may be among them, and probabilities count the other 2 alone. "
        "x->y polynomial:2: exact has no value (its code failed: evidence estimator 'exact' of package structflow: "
        "estimate raised ValueError: no)"
    )
    assert not run.summary.is_whole


def test_memory_is_no_members_fault(tmp_path, monkeypatch):
    """The task fails as a whole, so that the same command tries again."""
    raising_for(monkeypatch, "laplace", "dense:tanh", MemoryError("all is used up"))
    with pytest.raises(Exception, match="all is used up"):
        studies.run(document("elbo", "laplace"), tmp_path / "run")


def without_rank(name):
    shared = {"x->h": ["linear"], "h->y": [name, "skip"], "h": [5]}
    return {
        "structure": shared, "reason": NOT_LINEAR, "estimator": "exact", "restarts": 1,
        "evidence": {"exact": None, "elbo": -338.3}, "evidence_se": {"elbo": 0.64},
    }  # fmt: skip


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_values_without_a_rank_stand_beside_their_structure(capsys, monkeypatch, columns):
    """What differs is named in every row, also where it is folded; then how many rows are left out."""
    monkeypatch.setenv("COLUMNS", str(columns))
    unranked = [without_rank(f"dense:{letter * 12}") for letter in "abcdef"]
    print_summary(summaries.summary(unranked=unranked), 4)
    out = capsys.readouterr().out
    joined = "".join(out.split())
    table = joined.partition("rankstructure")[2]
    for letter in "abcd":
        assert f"dense:{letter * 12}" in (table if columns > 30 else joined)
    assert "eeeeee" not in joined
    assert "x->h linear" not in out.rpartition("structure ")[2]
    assert table.count("-338.30±0.64") == 4
    words = " ".join(out.split())
    assert "4 of 6 structures without a rank are shown; structflow show --json lists all" in words
    assert "and 3 more of 6: exact has no value" in words


def item(name, *scores):
    return SelectedStructure(structure={"x->y": [name]}, scores=scores, best=None, best_restart=None, agreement=1.0)


def failed(name, during, error):
    return FailedMembers(
        during=during, structure={"x->y": [name]}, error=error, round=None, stage=None, step=None, restarts=[0]
    )


def test_every_reason_has_its_words():
    """No value, no number, a failed evaluation, a failed training, all diverged; what is ranked isn't in it."""
    structures = (
        item("a", -1.0),
        item("b", -1.0),
        item("c", -1.0),
        item("d", None),
        item("e", None, None),
        item("f", -2.0),
    )
    selection = SelectRecord(structures=structures, members=7, diverged=2)
    evaluated = [
        studies.evaluation({"x->y": ["a"]}, evidence={"ais": None}, evidence_missing={"ais": "why"}),
        studies.evaluation({"x->y": ["b"]}, evidence={"ais": None}),
    ]
    failures = [failed("c", "evaluation", "X: y"), failed("d", "training", "X: z")]
    ranking = [summaries.ranking_entry({"x->y": ["f"]}, evidence={"ais": -2.0})]
    found = unranked_structures(selection, evaluated, failures, ranking, by_estimate=True)
    assert [(entry["structure"]["x->y"][0], entry["estimator"], entry["reason"]) for entry in found] == [
        ("a", "ais", "why"),
        ("b", "ais", "its estimate isn't a finite number"),
        ("c", None, "its evaluation failed: X: y"),
        ("d", None, "its training failed: X: z"),
        ("e", None, "all its restarts diverged"),
    ]
    said = unranked_warning(found, ranking)
    assert said is not None
    assert said.startswith("5 of 6 structures have no rank; the best may be among them")
    assert said.endswith(
        "To rank all of them, list first in evidence.estimators one that has a value for all, such as elbo"
    )
    assert unranked_warning([], ranking) is None
