"""A run continued with a spec that has more in it: what was trained is reused, and only what is new is trained."""

from __future__ import annotations

import copy
import importlib
import json
import shutil

import numpy as np
import pytest
import studies

import structflow
from structflow.errors import CallError, StorageError
from structflow.results.repair import inspect, repair
from structflow.runner import context as context_module
from structflow.runner import run_task, training_keys
from structflow.store import inspection
from structflow.store.own_folder import OwnFolder
from structflow.store.run_directory import RunDirectory

evaluate_module = importlib.import_module("structflow.runner.evaluate")
train_module = importlib.import_module("structflow.runner.train_batch")

SINE = {"type": "dense", "activation": "sin"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two structures with two restarts."""
    return studies.run(studies.spec(), tmp_path_factory.mktemp("small") / "run").path


@pytest.fixture
def finished(small, tmp_path):
    """A copy that a test may extend."""
    shutil.copytree(small, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def trained(monkeypatch):
    """(structure or open set, restart, fold, stage) of every member that is trained, not reused."""
    members, really = [], train_module.trained_here

    def spy(context, task, batch, *others):
        for each in batch.members:
            what = each.structure or each.open
            members.append((None if what is None else what.canonical, each.restart, each.fold, task.stage))
        return really(context, task, batch, *others)

    monkeypatch.setattr(train_module, "trained_here", spy)
    return members


def changed(document=None, **places):
    """A copy of a spec (by default the small one) with other values at some dotted places."""
    found = copy.deepcopy(document or studies.spec())
    for place, value in places.items():
        *path, last = place.split("__")
        target = found
        for key in path:
            target = target[int(key)] if key.isdecimal() else target.setdefault(key, {})
        target[last] = value
    return found


def with_sine(document=None):
    """One more basis function, first on its edge."""
    found = copy.deepcopy(document or studies.spec())
    found["model"]["edges"][0]["basis"] = [SINE, *found["model"]["edges"][0]["basis"]]
    return found


def assert_equal_results(extended, fresh):
    """Every entry of the ranking, and the arrays of all posteriors, are those of a run that was never extended."""
    assert [entry["structure"] for entry in extended.ranking] == [entry["structure"] for entry in fresh.ranking]
    for one, other in zip(extended.ranking, fresh.ranking, strict=True):
        for key in ("score", "score_se", "log_evidence", "probability", "c_param", "restart_agreement"):
            np.testing.assert_allclose(*(np.array(each[key], float) for each in (one, other)), rtol=1e-5, atol=1e-5)
    for place in range(len(fresh.ranking)):
        group = f"setting_0/posterior/structure_{place}"
        for name, values in fresh.dataset[group].data_vars.items():
            np.testing.assert_allclose(extended.dataset[group][name], values, rtol=1e-4, atol=1e-5)


def test_one_more_function_trains_only_the_structures_that_contain_it(finished, trained, tmp_path):
    """2 structures × 2 restarts are there; the third structure adds 2 members."""
    extended = studies.run(with_sine(), finished)
    assert sorted(trained) == [('{"h->y":["linear"],"x->h":["dense:sin"]}', restart, 0, 0) for restart in (0, 1)]
    assert extended.summary["extension"].model_dump() == {
        "changes": ['model.edges[0].basis: added {"activation": "sin", "bias": true, "type": "dense"}'],
        "members": 6,
        "taken_over": 4,
        "reasons": {"not trained before": 2},
    }
    assert_equal_results(extended, studies.run(with_sine(), tmp_path / "fresh"))


def test_the_earlier_results_are_kept(small, finished):
    before = structflow.Run(small).ranking
    studies.run(with_sine(), finished)
    assert structflow.Run(finished / "earlier" / "0").ranking == before
    assert (finished / "earlier" / "0" / "spec.yaml").read_text() == (small / "spec.yaml").read_text()
    assert inspect(finished) == []


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"optimizer__restarts": 3}, 2),  # one more restart of 2 structures
        ({"optimizer__restarts": 1}, 0),
        ({"compute__members_per_batch": 1}, 0),
        ({"evidence": {"samples": 32}}, 0),
        ({"robustness": {"inputs": [0.1]}}, 0),
        ({"sweep": [{"prior.weights.precision": ["shared", 2.0]}]}, 4),  # the second setting
        ({"model__edges__0__basis": [SINE, {"type": "dense"}]}, 2),  # one function replaced
        ({"model__nodes__h__shape": {"choose": [[2], [3]]}}, 8),  # the shape is part of the structure from now on
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_only_what_is_new_is_trained(finished, trained, change, new):
    extended = studies.run(changed(**change), finished)
    assert len(trained) == new
    assert extended.summary["extension"]["taken_over"] == extended.summary["extension"]["members"] - new
    assert extended.summary["status"] == "finished"


def test_a_second_extension_reuses_both_revisions(finished, trained):
    """4 members of the first, 2 of the second; the third adds a restart of 3 structures."""
    studies.run(with_sine(), finished)
    trained.clear()
    studies.run(changed(with_sine(), optimizer__restarts=3), finished)
    assert sorted(restart for _, restart, _, _ in trained) == [2, 2, 2]
    assert sorted(path.name for path in (finished / "earlier").iterdir()) == ["0", "1"]


def test_what_is_estimated_is_estimated_again_only_where_something_changed(finished, monkeypatch):
    """One more function: only its structure is evaluated. Other samples: all are."""
    evaluated, really = [], evaluate_module.evaluate_members

    def spy(context, members, *others):
        evaluated.extend(member.structure.canonical for member in members)
        return really(context, members, *others)

    monkeypatch.setattr(evaluate_module, "evaluate_members", spy)
    studies.run(with_sine(), finished)
    assert evaluated == ['{"h->y":["linear"],"x->h":["dense:sin"]}']
    evaluated.clear()
    studies.run(changed(with_sine(), evidence={"samples": 32}), finished)
    assert len(evaluated) == 3


@pytest.mark.parametrize(
    "sections",
    [
        {"regime": {"type": "growth", "max_rounds": 2}},
        *(
            pytest.param(sections, marks=pytest.mark.faults)
            for sections in (
                {"posterior": {"weights": {"covariance": "full"}}},
                {"prior": {"weights": {"precision": "per_parameter"}}},
                {"objective": {"preset": "cross_validation", "folds": 2}, "prior": {"weights": {"precision": 1.0}}},
                {"stages": [{"optimizer.inner.lr": 0.02}, {"optimizer.inner.lr": 0.01}]},
                {"optimizer": {"inner": {"steps": 30}, "outer": {"type": "greedy"}}},
                {"regime": {"type": "evidence"}},
                {"regime": {"type": "weight_pruning", "shares": [0.5]}},
            )
        ),
    ],
    ids=("growth", "full", "per_parameter", "folds", "stages", "greedy", "evidence", "weight_pruning"),
)
def test_extended_is_what_would_have_been(tmp_path, trained, sections):
    """Under every way of training: with one restart, then extended to two, as with two from the start."""
    document = studies.spec(**sections)
    document["optimizer"] = {**document["optimizer"], "restarts": 1}
    studies.run(document, tmp_path / "run")
    wider = changed(document, optimizer__restarts=2)
    trained.clear()
    extended = studies.run(wider, tmp_path / "run")
    rerun = list(trained)
    trained.clear()
    fresh = studies.run(wider, tmp_path / "fresh")
    assert_equal_results(extended, fresh)
    assert set(rerun) <= set(trained)
    assert len(rerun) < len(trained)


def test_linear_members_are_trained_alike_beside_others(tmp_path, trained):
    """A linear model is whitened whatever it shares a batch with; after 30 steps its training is far from its end."""
    edge = {"from": "x", "to": "y", "choose": "one", "basis": [{"type": "polynomial", "degree": 3}]}
    tanh = {"type": "dense", "activation": "tanh"}
    document = studies.spec(model=studies.model([edge]))
    document["optimizer"] = {**document["optimizer"], "inner": {"steps": 30, "lr": 0.01}}
    studies.run(document, tmp_path / "run")
    trained.clear()
    wider = changed(document, model__edges__0__basis=[tanh, *edge["basis"]])
    extended = studies.run(wider, tmp_path / "run")
    assert {structure for structure, *_ in trained} == {'{"x->y":["dense:tanh"]}'}
    assert_equal_results(extended, studies.run(wider, tmp_path / "fresh"))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        pytest.param(
            {"objective": {"preset": "map"}, "posterior": {"weights": {"covariance": "full"}}},
            marks=pytest.mark.thorough,
        ),
    ],
    ids=["diagonal", "map"],  # a point has no covariance, whatever the spec says
)
def test_common_coordinates_are_part_of_the_key(tmp_path, trained, sections):
    """Without a choice the weights of all functions are whitened together; with one they aren't, and start anew."""
    edges = [
        {"from": "x", "to": "y", "basis": [{"type": "linear"}]},
        {"from": "x", "to": "h", "basis": [{"type": "elementwise", "function": "sin"}]},
        {"from": "h", "to": "y", "basis": [{"type": "linear", "bias": False}]},
    ]
    document = studies.spec(
        model=studies.model(edges, h={"shape": [2]}), prior={"weights": {"precision": 1.0}}, **sections
    )
    document["optimizer"] = {**document["optimizer"], "inner": {"steps": 30, "lr": 0.01}}
    studies.run(document, tmp_path / "run")
    trained.clear()
    wider = copy.deepcopy(document)
    wider["model"]["edges"][1] |= {"choose": "one", "basis": [*edges[1]["basis"], "identity"]}
    extended = studies.run(wider, tmp_path / "run")
    assert len(trained) == 4
    assert_equal_results(extended, studies.run(wider, tmp_path / "fresh"))


@pytest.mark.thorough
def test_the_order_of_functions_counts_in_common_coordinates(tmp_path, trained):
    """Their Cholesky factor is of all weights in the order of the spec."""
    edge = {"from": "x", "to": "y", "choose": "all", "basis": ["linear", {"type": "polynomial", "degree": 3}]}
    document = studies.spec(model=studies.model([edge]), prior={"weights": {"precision": "per_parameter"}})
    document["optimizer"] = {"inner": {"steps": 30, "lr": 0.2}, "restarts": 1}
    studies.run(document, tmp_path / "run")
    turned = changed(document, model__edges__0__basis=edge["basis"][::-1], evidence={"samples": 32})
    trained.clear()
    extended = studies.run(turned, tmp_path / "run")
    assert len(trained) == 1
    assert_equal_results(extended, studies.run(turned, tmp_path / "fresh"))


@pytest.mark.thorough
def test_shared_weights_are_reused(tmp_path, trained):
    """Two functions that share weights, one of which comes later: the first's start depends on both being there."""
    tied = [{"type": "dense", "share": "w"}, {"type": "dense", "activation": "relu", "share": "w"}]
    document = studies.spec(model=studies.model([{**studies.EDGE, "basis": tied}, studies.LAST], h={"shape": [2]}))
    studies.run(document, tmp_path / "run")
    trained.clear()
    extended = studies.run(with_sine(document), tmp_path / "run")
    assert len(trained) == 2
    assert_equal_results(extended, studies.run(with_sine(document), tmp_path / "fresh"))


@pytest.mark.thorough
def test_relaxed_members_depend_on_all_candidates(tmp_path, trained):
    document = studies.spec(regime={"type": "evidence"})
    studies.run(document, tmp_path / "run")
    trained.clear()
    extended = studies.run(with_sine(document), tmp_path / "run")
    assert [what for what, *_ in trained].count(None) == 2  # both relaxed restarts
    reasons = extended.summary["extension"]["reasons"]
    assert reasons["the functions it has or may choose, or their options or shapes, have changed"] == 2


def test_an_unfinished_run_is_extended_from_what_it_has(tmp_path, trained, monkeypatch):
    """Two stages; it fails before the second, which is all that is left to do of the two first members."""
    document = studies.spec(stages=[{"optimizer.inner.lr": 0.02}, {"optimizer.inner.lr": 0.01}])
    really = run_task.perform

    def fail(context, task, slots):
        if task.kind == "train" and task.stage == 1:
            raise RuntimeError("out of luck")
        return really(context, task, slots)

    monkeypatch.setattr(run_task, "perform", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        studies.run(document, tmp_path / "run")
    monkeypatch.setattr(run_task, "perform", really)
    trained.clear()
    wider = changed(document, optimizer__restarts=3)
    extended = studies.run(wider, tmp_path / "run")
    assert sorted((restart, stage) for _, restart, _, stage in trained) == [
        (0, 1), (0, 1), (1, 1), (1, 1), (2, 0), (2, 0), (2, 1), (2, 1),
    ]  # fmt: skip
    assert extended.summary["extension"]["reasons"] == {
        "its later stages were not trained before": 4,
        "not trained before": 2,
    }
    assert_equal_results(extended, studies.run(wider, tmp_path / "fresh"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"optimizer__inner__lr": 0.5}, "optimizer.inner.lr: 0.01 → 0.5"),
        ({"seed": 1}, "seed: 0 → 1"),
        ({"compute__dtype": "float64"}, 'compute.dtype: "float32" → "float64"'),
        ({"data__rows": 41}, "the data: other values than when the run began"),
        ({"regime": {"type": "evidence"}}, 'regime.type: "enumeration" → "evidence"'),
        ({"prior": {"weights": {"precision": 2.0}}}, 'prior.weights.precision: "shared" → 2.0'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_changes_are_refused(finished, change, line):
    before = studies.digests(finished)
    with pytest.raises(CallError) as error:
        studies.run(changed(**change), finished)
    assert f"\n  {line}\n" in str(error.value)
    assert "a run can be extended by restarts, sweep values, basis functions" in str(error.value)
    assert studies.digests(finished) == before
    assert not (finished / "earlier").exists()


@pytest.mark.parametrize("change", [{"name": "another"}, {"compute__checkpoint_seconds": 5.0}])
def test_what_has_no_effect_opens_nothing(finished, trained, change):
    written = (finished / "summary.json").read_text()
    studies.run(changed(**change), finished)
    assert (finished / "summary.json").read_text() == written
    assert not (finished / "earlier").exists()
    assert trained == []


def test_comments_order_and_formatting_change_nothing(finished, trained):
    """The same spec as JSON with its keys in another order and a comment in front."""
    document = dict(reversed(studies.spec().items()))
    path = finished.parent / "spec.yaml"
    path.write_text("# the same\n" + json.dumps(document, indent=7))
    structflow.run(path, finished)
    assert trained == []
    assert not (finished / "earlier").exists()


def test_another_version_is_a_reason(finished, trained, monkeypatch):
    """Parts of the key that aren't in the spec are named with both values."""
    parts = training_keys.common_parts
    was = parts(structflow.Run(finished).context)["torch"]
    monkeypatch.setattr(training_keys, "common_parts", lambda context: {**parts(context), "torch": "99.0"})
    extended = studies.run(changed(optimizer__restarts=3), finished)
    assert len(trained) == 6
    assert extended.summary["extension"]["reasons"] == {"not trained before": 2, f"torch was {was} and is 99.0": 4}


def test_other_folds_are_a_reason(tmp_path, trained, monkeypatch):
    """The rows of two folds change places, as another version of scikit-learn might cut them; fold 0 holds out none."""
    sections = {"objective": {"preset": "cross_validation", "folds": 2}, "prior": {"weights": {"precision": 1.0}}}
    document = studies.spec(**sections, optimizer={"restarts": 1, "inner": {"steps": 5}})
    studies.run(document, tmp_path / "run")
    as_today = context_module.fold_of_row
    monkeypatch.setattr(context_module, "fold_of_row", lambda *given: 3 - as_today(*given))
    extended = studies.run(changed(document, optimizer__restarts=2), tmp_path / "run")
    members = extended.summary["extension"]["members"]
    reasons = {"not trained before": members // 2, "which rows are held out together has changed": members // 2}
    assert extended.summary["extension"]["reasons"] == reasons


@pytest.fixture(scope="module")
def extended_digests(small, tmp_path_factory):
    """Digests of the records of an extension that nothing disturbed."""
    path = shutil.copytree(small, tmp_path_factory.mktemp("whole") / "run")
    return studies.digests(studies.run(with_sine(), path).path)


@pytest.mark.parametrize("moves", [1, 5, *(pytest.param(moves, marks=pytest.mark.faults) for moves in (0, 2, 8, 9))])
def test_an_extension_cut_short_goes_on(small, finished, extended_digests, trained, monkeypatch, moves):
    """The process dies after so many renames (of 9 that a revision needs); the same call ends as if it hadn't."""
    left, really = iter(range(moves)), OwnFolder.rename

    def rename(self, source, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        really(self, source, target)

    with monkeypatch.context() as patched:
        patched.setattr(OwnFolder, "rename", rename)
        if moves < 9:
            with pytest.raises(KeyboardInterrupt):
                studies.run(with_sine(), finished)
            assert trained == []
    studies.run(with_sine(), finished)
    assert len(trained) == 2
    assert studies.digests(finished) == extended_digests
    assert [entry.name for entry in (finished / "earlier").iterdir()] == ["0"]
    assert studies.digests(finished / "earlier" / "0") == studies.digests(small)


def test_a_damaged_record_of_an_earlier_revision_costs_nothing(finished, trained):
    """Members are read by their keys: nothing depends on it, and `verify` names the file where it is asked about it."""
    studies.run(changed(compute__members_per_batch=2), finished)
    record = finished / "earlier" / "0" / "records" / "setting0-round0-batch0-stage0-train.json"
    (finished / "earlier" / "0" / "summary.json").write_text("{}")
    record.write_text(record.read_text().replace("diverged_at", "diverged_mt", 1))
    assert inspect(finished) == []
    assert any(str(record) in found.message for found in inspect(finished / "earlier" / "0"))
    trained.clear()
    studies.run(changed(optimizer__restarts=3), finished)
    assert len(trained) == 2


def test_arrays_that_were_lost_are_trained_again(finished, trained):
    """Their index stands, but the file of arrays that it names is gone."""
    for file in (finished / "members").glob("*.npz"):
        file.unlink()
    extended = studies.run(with_sine(), finished)
    assert len(trained) == 6
    assert extended.summary["extension"]["taken_over"] == 0
    assert extended.summary["extension"]["reasons"] == {"not trained before": 2, "its values were lost": 4}


def test_revisions_are_numbered_on(finished, trained):
    """The oldest of two is deleted by hand; the next extension has a number of its own and overwrites nothing."""
    studies.run(changed(optimizer__restarts=3), finished)
    studies.run(changed(optimizer__restarts=4), finished)
    shutil.rmtree(finished / "earlier" / "0")
    trained.clear()
    extended = studies.run(changed(optimizer__restarts=6), finished)
    assert len(trained) == 4
    assert extended.summary["extension"]["changes"] == ["optimizer.restarts: 4 → 6"]
    assert sorted(path.name for path in (finished / "earlier").iterdir()) == ["1", "2"]


def test_damaged_data_cost_no_earlier_revision(finished):
    """They are the run's own, so `--repair` refuses; what was found before is still there."""
    studies.run(with_sine(), finished)
    file = finished / "data.npz"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(StorageError, match="the run was started with it"):
        repair(finished, None, lambda progress: None)
    assert (finished / "earlier" / "0" / "plan.json").exists()


def test_a_revision_that_is_no_longer_valid_blames_no_member(finished, trained):
    """As where a package is gone whose function it had: members are known by their keys, whatever it says."""
    studies.run(changed(optimizer__restarts=3), finished)
    settings = finished / "settings.json"
    settings.write_text(settings.read_text().replace('"dense"', '"gone"'))
    studies.seal(finished)
    trained.clear()
    extended = studies.run(changed(optimizer__restarts=4), finished)
    assert len(trained) == 2
    assert extended.summary["failures"] == []
    assert len(extended.ranking) == 2


def test_a_late_task_of_an_earlier_revision_commits_nothing(finished, monkeypatch):
    """A task that was begun before the run was extended ends after it."""
    really, task = run_task.perform, "setting0-round0-batch0-stage0-train"

    def extend_meanwhile(context, task, slots):
        monkeypatch.setattr(run_task, "perform", really)
        found = really(context, task, slots)
        studies.run(with_sine(), finished)
        return found

    inspection.withdraw_record(RunDirectory(finished), task)
    monkeypatch.setattr(run_task, "perform", extend_meanwhile)
    with pytest.raises(StorageError, match=f"was started again during {task}"):
        run_task.run_task(str(finished), task, [])
    assert len(structflow.Run(finished).ranking) == 3


def test_a_default_that_came_later_is_no_change(finished, trained):
    """A run whose spec was kept when a key wasn't there yet."""
    kept = json.loads((finished / "run.json").read_text())
    del kept["spec"]["evidence"]["samples"], kept["spec"]["optimizer"]["inner"]["samples"]
    kept["spec"]["evidence"] = {}
    document = changed(evidence={"samples": 256})
    (finished / "run.json").write_text(json.dumps(kept))
    studies.seal(finished)
    studies.run(document, finished)
    assert trained == []
    assert not (finished / "earlier").exists()


def test_the_command_says_what_it_extends(finished, cli):
    path = studies.write(with_sine(), finished.parent)
    found = cli("run", path, "-o", finished)
    assert found.code == 0
    assert "extending the run in" in found.err
    assert "4 of 6 members were trained before; 2: not trained before" in found.out
    again = cli("run", path, "-o", finished)
    assert again.code == 0
    assert "extending" not in again.err
