"""Trackers hear everything a run does, in order and once, and never change or harm it."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import studies

from structflow.errors import SpecError
from structflow.plugins import Options, Tracker
from structflow.plugins.registry import registry
from structflow.results.read import structure_name
from structflow.runner import run_task
from structflow.spec.load import spec_from_mapping
from structflow.spec.models import Spec
from structflow.spec.spec_hash import spec_hash

HEARD: list[tuple[str, object]] = []
"""What the tracker of these tests was told, in order."""


class Recorder(Tracker):
    """Keeps what it is told; registered in place of `json_lines` by the fixture below."""

    type = "json_lines"

    def started(self, run):
        HEARD.append(("started", run))

    def progressed(self, task, steps):
        HEARD.append(("progressed", (task, steps)))

    def trained(self, batch):
        HEARD.append(("trained", batch))
        HEARD.append(("thread", threading.current_thread()))

    def finished(self, summary):
        HEARD.append(("finished", summary))

    def failed(self, reason):
        HEARD.append(("failed", reason))


@pytest.fixture
def recorder(monkeypatch):
    """The spec's `json_lines` is the recorder; gives the list of what it hears."""
    register(monkeypatch, Recorder)
    HEARD.clear()
    return HEARD


def register(monkeypatch, tracker):
    """Put a tracker class in place of the registered one, with that one's options."""
    get = registry().get
    monkeypatch.setattr(registry(), "get", lambda kind, name: tracker if kind == "trackers" else get(kind, name))


def quick(**sections):
    """Two structures, two restarts in batches of two, 30 steps."""
    return studies.spec(compute={"compile": False, "members_per_batch": 2}, **sections)


def tracked(**sections):
    return quick(trackers=["json_lines"], **sections)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same study without trackers."""
    return studies.run(quick(), tmp_path_factory.mktemp("plain") / "run")


def told(heard, event):
    return [value for name, value in heard if name == event]


def trajectory_of(run):
    """The terms of the only stage as the results hold them, (members, steps)."""
    return next(node.to_dataset() for node in run.dataset["setting_0"].subtree if "log_likelihood" in node.data_vars)


def names(heard):
    return [name for name, _ in heard if name not in ("progressed", "thread")]


def test_a_tracker_hears_the_run_in_one_order(recorder, tmp_path):
    run = studies.run(tracked(), tmp_path / "run")
    assert names(recorder) == ["started", "trained", "trained", "finished"]
    batches = told(recorder, "trained")
    tasks = [batch.task for batch in batches]
    assert sorted(tasks) == [task for task in studies.plan_tasks(quick()) if "train" in task]
    assert ("setting0-round0-batch0-stage0-train", 30) in told(recorder, "progressed")
    assert told(recorder, "finished") == [json.loads((run.path / "summary.json").read_text())]
    assert {thread.name for thread in told(recorder, "thread")} == {"MainThread"}
    (started,) = told(recorder, "started")
    assert (started.path, started.name, started.continued) == (run.path, "small", False)
    assert started.settings == ({},)
    assert started.spec["trackers"] == [{"type": "json_lines", "file": "log.jsonl"}]
    assert started.plan["n_members"] == 4
    recorder.clear()
    studies.run(tracked(), tmp_path / "again")
    assert [batch.task for batch in told(recorder, "trained")] == tasks


def test_a_batch_holds_what_the_store_and_the_results_hold(recorder, tmp_path):
    run = studies.run(tracked(), tmp_path / "run")
    trajectory = trajectory_of(run)
    rows = list(zip(trajectory["structure"].values, trajectory["restart"].values, strict=True))
    found = 0
    for batch in told(recorder, "trained"):
        assert (batch.stage, batch.stages, batch.first_step, batch.replayed) == (0, 1, 0, False)
        np.testing.assert_array_equal(batch.steps, np.arange(30))
        for number, member in enumerate(batch.members):
            row = rows.index((structure_name(member.structure), member.restart))
            found += 1
            np.testing.assert_array_equal(
                batch.terms["log_likelihood"][:, number], trajectory["log_likelihood"].values[row]
            )
            assert not member.diverged
            chosen = member.structure["x->h"][0]
            assert member.name == f'{{"h->y":["linear"],"x->h":["{chosen}"]}}'
        bound = batch.terms["log_likelihood"] - batch.terms["kl_weights"] - batch.terms["kl_structure"]
        np.testing.assert_array_equal(batch.bound, bound)
    assert found == 4
    scores = {m.name: m.score for b in told(recorder, "trained") for m in b.members if m.restart == 0}
    record = studies.records(run.path)["setting0-select"]["payload"]["structures"]
    assert sorted(scores.values()) == sorted(item["scores"][0] for item in record)


def test_relaxed_members_come_with_probabilities(recorder, tmp_path):
    studies.run(tracked(regime="evidence"), tmp_path / "run")
    first, *rest = told(recorder, "trained")
    assert {member.name for member in first.members} == {"relaxed"}
    for member in first.members:
        chances = member.probabilities["x->h"]
        assert list(chances) == ["dense:tanh", "dense:relu"]
        assert sum(chances.values()) == pytest.approx(1, abs=1e-9)
        assert member.rounded["x->h"] == [max(chances, key=chances.get)]
    assert all(member.probabilities is None for batch in rest[1:] for member in batch.members)


def test_a_sweep_gives_values_and_stages_give_first_steps(recorder, tmp_path):
    document = tracked(
        optimizer={"inner": {"steps": 5}, "restarts": 1},
        stages=[{}, {"optimizer.inner.steps": 7}],
        sweep=[{"seed": [3, 4]}],
    )
    studies.run(document, tmp_path / "run")
    assert told(recorder, "started")[0].settings == ({"seed": 3}, {"seed": 4})
    batches = sorted(told(recorder, "trained"), key=lambda batch: (batch.setting, batch.stage))
    seen = [(batch.values["seed"], batch.stage, batch.first_step, len(batch.steps)) for batch in batches]
    assert seen == [(3, 0, 0, 5), (3, 1, 5, 7), (4, 0, 0, 5), (4, 1, 5, 7)]
    assert [batch.members[0].score is None for batch in batches] == [True, False, True, False]


class Interrupted(Exception):
    pass


def test_a_continued_run_replays_what_was_there(recorder, tmp_path, monkeypatch):
    """The second batch fails once: the tracker hears of it, and later of the whole run."""
    train_batch = run_task.train_batch
    trained = []

    def fail_in_second(context, task, *rest):
        if trained:
            raise Interrupted("power\nfailure")
        trained.append(task)
        return train_batch(context, task, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(run_task, "train_batch", fail_in_second)
        with pytest.raises(Interrupted):
            studies.run(tracked(), tmp_path / "run")
    assert names(recorder) == ["started", "trained", "failed"]
    assert told(recorder, "failed") == ["Interrupted: power failure"]
    recorder.clear()
    studies.run(tracked(), tmp_path / "run")
    assert told(recorder, "started")[0].continued
    assert [batch.replayed for batch in told(recorder, "trained")] == [True, False]
    assert names(recorder) == ["started", "trained", "trained", "finished"]
    recorder.clear()
    studies.run(tracked(), tmp_path / "run")
    assert recorder == []  # it was finished


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_run_says_so(signal, recorder, tmp_path, monkeypatch):
    """Ctrl-C, and what the command makes of SIGTERM, go on to who called."""

    def interrupt(*arguments):
        raise signal

    monkeypatch.setattr(run_task, "train_batch", interrupt)
    with pytest.raises(type(signal)):
        studies.run(tracked(), tmp_path / "run")
    assert names(recorder) == ["started", "failed"]
    assert told(recorder, "failed") == ["interrupted"]


@pytest.mark.thorough
def test_workers_tell_of_every_batch_once(recorder, plain, tmp_path):
    """From one thread, after the start and before the end; what was computed is the same to the bit."""
    run = studies.run(tracked(), tmp_path / "run", workers=2)
    assert studies.digests(run.path) == studies.digests(plain.path)
    assert names(recorder) == ["started", "trained", "trained", "finished"]
    assert sorted(batch.task for batch in told(recorder, "trained")) == [
        "setting0-round0-batch0-stage0-train", "setting0-round0-batch1-stage0-train"
    ]  # fmt: skip
    (thread,) = set(told(recorder, "thread"))
    assert thread.name.startswith("trackers")
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("method", "workers"), [("__init__", None), ("progressed", None), ("finished", None), ("trained", 1)]
)
def test_a_tracker_that_raises_is_left_out_and_harms_nothing(
    method, workers, recorder, plain, tmp_path, monkeypatch, capsys
):
    def broken(self, *arguments):
        raise OSError("no space\nleft")

    register(monkeypatch, type("Broken", (Recorder,), {method: broken, "__module__": __name__}))
    run = studies.run(tracked(), tmp_path / "run", workers=workers)
    package = "test_tracking"  # which none has registered
    tracker = f"tracker 'json_lines' of package {package}"
    warning = f"{tracker} is left out from here on: {method} raised OSError: no space left"
    assert capsys.readouterr().err.count(f"warning: {warning}\n") == 1
    assert run.summary["status"] == "finished"
    if method != "finished":
        assert run.summary["warnings"][-1] == warning
        assert "finished" not in names(recorder)
    assert studies.digests(run.path) == studies.digests(plain.path)


def test_trackers_are_no_part_of_what_is_computed(tmp_path):
    """The hash is the same, and the run goes on under others; workers needn't know them."""
    with_log, without = spec_from_mapping(tracked()), spec_from_mapping(quick())
    assert spec_hash(with_log) == spec_hash(without)
    first = studies.run(tracked(), tmp_path / "run")
    again = studies.run(quick(), tmp_path / "run")
    assert first.summary == again.summary
    (setting,) = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert "trackers" not in setting["stages"][0]
    assert len(studies.study(tracked()).settings[0].stages[0].trackers) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trackers": ["json_lines", {"type": "json_lines"}]}, "got 'json_lines' twice with the same keys"),
        ({"trackers": ["jason_lines"]}, "json_lines"),
        ({"sweep": [{"trackers": [[], ["json_lines"]]}]}, "a sweep can't change trackers"),
        ({"stages": [{"trackers": []}]}, "a stage can't change trackers"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        spec_from_mapping(quick(**changes))


def test_two_of_one_type_differ_in_their_keys(tmp_path):
    """The built-in log, twice: lines of every event, those of members with the bound of their last step."""
    run = studies.run(
        quick(trackers=["json_lines", {"type": "json_lines", "file": str(tmp_path / "logs" / "two.jsonl")}]),
        tmp_path / "run",
    )
    text = (run.path / "log.jsonl").read_text()
    assert (tmp_path / "logs" / "two.jsonl").read_text() == text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["started", "trained", "trained", "finished"]
    assert lines[0]["n_members"] == 4
    assert lines[-1]["best"] == run.ranking[0]["structure"]
    members = [member for line in lines if line["event"] == "trained" for member in line["members"]]
    last = trajectory_of(run).isel(step=-1)
    expected = last["log_likelihood"] - last["kl_weights"] - last["kl_structure"]
    assert sorted(member["bound"] for member in members) == sorted(expected.values.tolist())


def test_options_of_a_tracker_are_a_spec_s_own():
    """By default none; bare words become mappings."""
    assert Spec.model_fields["trackers"].default == ()
    (options,) = spec_from_mapping(tracked()).trackers
    assert isinstance(options, Options)
    assert (options.type, options.file) == ("json_lines", "log.jsonl")


def test_the_methods_may_all_be_left_out(plain, tmp_path, monkeypatch, capsys):
    register(monkeypatch, type("Silent", (Tracker,), {"type": "json_lines"}))
    run = studies.run(tracked(), tmp_path / "run")
    assert run.summary["warnings"] == plain.summary["warnings"]
    assert capsys.readouterr().err == ""
