"""The same plan gives the same bits, however it is cut, carried out or interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import studies

from structflow.results.ranking import rank
from structflow.runner import run_task
from structflow.spec.structures import Structure


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The wide study, carried out in this process."""
    return studies.run(studies.wide(), tmp_path_factory.mktemp("here") / "run")


def test_two_runs_in_this_process_are_bit_equal(here, tmp_path):
    again = studies.run(studies.wide(), tmp_path / "run")
    assert studies.digests(again.path) == studies.digests(here.path)
    assert len(studies.digests(again.path)) == 14
    assert again.ranking == here.ranking


@pytest.mark.thorough
def test_one_and_two_workers_are_bit_equal(tmp_path):
    """By the command, whose processes must also leave quietly. Four batches, so that both workers have some."""
    document = studies.spec(
        optimizer={"inner": {"steps": 30}, "restarts": 4}, compute={"compile": False, "members_per_batch": 2}
    )
    spec = studies.write(document, tmp_path)
    for workers in (1, 2):
        called = studies.call("run", spec, "--workers", workers, "-o", f"run{workers}", cwd=tmp_path)
        assert called.returncode == 0, called.stderr
        assert "2 of 2 structures" in called.stdout
        assert "10 of 10 tasks" in called.stderr  # 4 batches are trained and evaluated, 1 decides, 1 selects
        for word in ("error", "Error", "Traceback", "warning", "Warning", "distributed"):
            assert word not in called.stderr
    one, two = studies.digests(tmp_path / "run1"), studies.digests(tmp_path / "run2")
    assert one == two
    # the worker has one thread as this process has, so that not even the order of sums differs
    assert one == studies.digests(studies.run(document, tmp_path / "here").path)


def test_more_threads_change_nothing_beyond_rounding(here, tmp_path, monkeypatch):
    """The forecast would choose one thread for so small a study, since two have to wait for each other."""
    monkeypatch.setattr("structflow.runner.executors.threads_for_one_process", lambda: 2)
    monkeypatch.setattr("structflow.plan.plan.ways_of", lambda modes, threads: [(mode, threads) for mode in modes])
    found = studies.run(studies.wide(), tmp_path / "run")
    assert json.loads((found.path / "plan.json").read_text())["execution"]["threads"] == 2
    assert_same_ranking(here.ranking, found.ranking, 1e-4)


def assert_same_ranking(one, other, tolerance):
    """Equal evidence; the order may differ only among equals."""
    by_structure = {Structure.from_dict(entry["structure"]): entry for entry in other}
    for entry in one:
        twin = by_structure[Structure.from_dict(entry["structure"])]
        assert twin["log_evidence"] == pytest.approx(entry["log_evidence"], rel=tolerance, abs=tolerance)
        if not entry["tied_with_best"]:
            assert twin["rank"] == entry["rank"]


def in_doubles(most):
    """Two activations, with and without skip, three restarts, in batches of at most `most`."""
    return studies.spec(
        model=studies.model([studies.EDGE, studies.LAST, studies.SKIP], h={"shape": [2]}),
        optimizer={"inner": {"steps": 30}, "restarts": 3},
        compute={"compile": False, "dtype": "float64", "members_per_batch": most},
    )


@pytest.fixture(scope="module")
def doubles(tmp_path_factory):
    return studies.run(in_doubles("auto"), tmp_path_factory.mktemp("doubles") / "run")


@pytest.mark.parametrize(("most", "batches"), [pytest.param(1, 12, marks=pytest.mark.thorough), (7, 3)])
def test_the_size_of_batches_changes_nothing_beyond_rounding(doubles, tmp_path, most, batches):
    """Members alone, in batches of 7 at most, and all 12 together: one ranking, evidence to 1e-6 in float64."""
    found = studies.run(in_doubles(most), tmp_path / "run")
    assert sum(task.endswith("-train") for task in studies.digests(found.path)) == batches
    assert sum(task.endswith("-train") for task in studies.digests(doubles.path)) == 1
    assert_same_ranking(doubles.ranking, found.ranking, 1e-6)


@pytest.mark.thorough
def test_a_wider_study_has_what_a_narrower_one_had(doubles, tmp_path):
    """Noise depends on structure and restart alone: one more activation leaves the others' evidence as it was."""
    wider = in_doubles("auto")
    edge = {**studies.EDGE, "basis": [{"type": "dense", "activation": "sin"}, *studies.EDGE["basis"]]}
    wider["model"] = studies.model([edge, studies.LAST, studies.SKIP], h={"shape": [2]})
    found = studies.run(wider, tmp_path / "run")
    assert len(found.ranking) == 6
    old = {Structure.from_dict(entry["structure"]) for entry in doubles.ranking}
    kept = [entry for entry in found.ranking if Structure.from_dict(entry["structure"]) in old]
    for before, after in zip(doubles.ranking, kept, strict=True):
        assert after["structure"] == before["structure"]
        assert after["log_evidence"] == pytest.approx(before["log_evidence"], abs=1e-6)


def test_a_task_that_fails_leaves_a_run_that_continues(here, tmp_path, monkeypatch):
    """The third of six batches fails once: the others are trained, and the same call ends as if nothing had failed."""
    perform, calls = run_task.perform, []

    def fail_once(context, task, slots):
        calls.append(task.name)
        if len(calls) == 4:
            raise RuntimeError("out of luck")
        return perform(context, task, slots)

    monkeypatch.setattr(run_task, "perform", fail_once)
    with pytest.raises(RuntimeError, match="out of luck"):
        studies.run(studies.wide(), tmp_path / "run")
    done = studies.digests(tmp_path / "run")
    assert len(calls) == 1 + 6  # the round's decision and its batches; nothing that needs all of them
    assert set(done) == set(calls) - {calls[3]}
    assert not (tmp_path / "run" / "summary.json").exists()
    studies.run(studies.wide(), tmp_path / "run")
    assert calls[7:] == [calls[3], *(name for name in studies.plan_tasks(studies.wide()) if name not in calls[:7])]
    assert studies.digests(tmp_path / "run") == studies.digests(here.path)


def test_results_that_fail_are_built_again(here, tmp_path, monkeypatch):
    """All is trained, but the results can't be written; the same call builds them and trains nothing."""

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("structflow.results.run.write_tree", fail)
    with pytest.raises(OSError, match="disk full"):
        studies.run(studies.wide(), tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(run_task, "perform", fail)
    found = studies.run(studies.wide(), tmp_path / "run")
    assert found.ranking == here.ranking
    assert found.dataset["setting_0/ranking"].sizes["structure"] == 8


def test_time_of_tasks_is_kept_and_counts_when_a_run_continues(tmp_path, monkeypatch):
    found = studies.run(studies.spec(), tmp_path / "run")
    taken = sum(record["seconds"] for record in studies.records(found.path).values())
    assert 0 < taken <= found.summary["seconds"] + 0.01
    (found.path / "summary.json").unlink()
    again = studies.run(studies.spec(), tmp_path / "run")
    assert again.summary["seconds"] >= taken - 0.01
    timing = again.dataset["setting_0/timing"]
    assert float(timing["seconds"].sum()) == pytest.approx(taken)


def test_ranks_don_t_depend_on_the_order_of_entries(here):
    space, spec = here.context.study.space, here.context.study.spec
    entries = here.ranking
    shuffled = [entries[number] for number in np.random.default_rng(0).permutation(len(entries))]
    named = [
        [(given[place.number].structure, *place[1:]) for place in rank(given, space, spec)]
        for given in (shuffled, entries)
    ]
    assert named[0] == named[1]
