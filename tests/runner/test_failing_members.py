"""Fault 19: a member whose code raises is left out, and those beside it end as if it had never been there."""

from __future__ import annotations

import json
import os

import pytest
import studies
from failing_dense import fail_at

from structflow.errors import StorageError, TaskError
from structflow.plugins import Candidate
from structflow.runner import failing_starts
from structflow.runner.context import open_context
from structflow.runner.driver import open_run
from structflow.runner.failing_starts import MOST_ATTEMPTS, failing, starts_of, without_failing
from structflow.runner.interruption import TimedCheckpoints
from structflow.runner.run_task import run_task
from structflow.runner.train_batch import train_batch
from structflow.store.checkpoint_slots import CheckpointSlots

SIN = {"x->h": ["dense:sin"], "h->y": ["linear"]}
TRAIN, EVALUATE = "setting0-round0-batch0-stage0-train", "setting0-round0-batch0-evaluate"
TWO_STAGES = [{"optimizer": {"inner": {"steps": 6}}}, {"optimizer": {"inner": {"steps": 6, "batch_size": 7}}}]
FOLDS = {
    "objective": {"preset": "cross_validation", "folds": 2},
    "prior": {"weights": {"precision": 1.0}},
}


def study(*activations, **sections):
    """Activations of one width, one restart and 6 steps."""
    edge = {**studies.EDGE, "basis": [{"type": "dense", "activation": name} for name in activations]}
    optimizer = {"inner": {"steps": 6}, "restarts": 1}
    return studies.spec(
        model=studies.model([edge, studies.LAST], h={"shape": [2]}), **{"optimizer": optimizer, **sections}
    )


def with_sin(**sections):
    return study("tanh", "sin", "relu", **sections)


def without_sin(**sections):
    return study("tanh", "relu", **sections)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return studies.run(without_sin(), tmp_path_factory.mktemp("undisturbed") / "run")


def values(run, *tasks):
    """What tasks found of the members that didn't fail, with digests of all their arrays."""
    records = studies.records(run.path)
    return [[member for member in records[task]["payload"]["members"] if not member.get("failed")] for task in tasks]


def numbers(ranking):
    """Scores by structure."""
    return {entry["structure"]["x->h"][0]: (entry["score"], entry["score_se"]) for entry in ranking}


TYPE = "(type 'dense' of package structflow)"
ON_THE_EDGE = f"basis function 'dense:sin' on edge x->h {TYPE}"
ERRORS = {
    "start": (f"weights 'x->h/dense:sin' {TYPE}: start raised LookupError: no such start", 0),
    "forward": (f"{ON_THE_EDGE}: forward raised ZeroDivisionError: division by zero", 0),
    "float64": (f"{ON_THE_EDGE}: forward raised TypeError: single precision only", 6),
}


@pytest.mark.parametrize(
    "place", ["forward", *(pytest.param(each, marks=pytest.mark.faults) for each in ("start", "float64"))]
)
def test_the_others_end_as_if_it_had_never_been_there(place, undisturbed, tmp_path, monkeypatch):
    """At the start, in the first step, and after the last of 6 steps: the same bits, one entry and one warning."""
    fail_at(monkeypatch, sin=place)
    run = studies.run(with_sin(), tmp_path / "run")
    assert values(run, TRAIN, EVALUATE) == values(undisturbed, TRAIN, EVALUATE)
    assert numbers(run.ranking) == numbers(undisturbed.ranking)
    error, step = ERRORS[place]
    assert [each.model_dump() for each in run.summary["failures"]] == [
        {
            "during": "training", "round": "enumerate", "stage": 0, "step": step, "structure": SIN, "error": error,
            "restarts": [0],
        }
    ]  # fmt: skip
    warning = f"1 of 3 members failed and were left out: {error} (x->h dense:sin; h->y linear)"
    assert warning in run.summary["warnings"]
    assert run.summary["status"] == "finished"
    assert not run.summary.is_whole
    restarts = run.dataset["setting_0/restarts"]["score"]
    assert restarts.isnull().sum() == 1


def test_only_its_evaluation_fails(undisturbed, tmp_path, monkeypatch):
    """On the 10 test rows, which only evaluation looks at: it was trained, and isn't in the ranking."""
    fail_at(monkeypatch, sin=10)
    run = studies.run(with_sin(), tmp_path / "run")
    found, expected = (values(each, EVALUATE)[0] for each in (run, undisturbed))
    assert [member["evaluation"] for member in found] == [member["evaluation"] for member in expected]
    assert numbers(run.ranking) == numbers(undisturbed.ranking)
    (failure,) = run.summary["failures"]
    assert (failure["during"], failure["structure"], failure["step"]) == ("evaluation", SIN, None)
    headline, warning = run.summary["warnings"][:2]
    assert headline.startswith("1 of 3 structures have no rank")
    assert "its evaluation failed: " in headline
    assert "the evaluation of 1 structure(s) failed, which are left out of the ranking" in warning
    assert run.dataset["setting_0/restarts"]["score"].isnull().sum() == 0
    assert set(run.dataset["setting_0/posterior"].children) == {"structure_0", "structure_1"}


@pytest.mark.faults
@pytest.mark.parametrize(("place", "stage"), [("forward", 0), (7, 1)])
def test_stages(place, stage, tmp_path, monkeypatch):
    """From the first stage on, or in the second alone, which has minibatches of 7 rows and begins where it ended."""
    fail_at(monkeypatch, sin=place)
    run = studies.run(with_sin(stages=TWO_STAGES), tmp_path / "run")
    reference = studies.run(without_sin(stages=TWO_STAGES), tmp_path / "reference")
    second = TRAIN.replace("stage0", "stage1")
    same = (TRAIN, second, EVALUATE) if stage == 0 else (second, EVALUATE)
    assert values(run, *same) == values(reference, *same)
    assert [(each["stage"], each["step"]) for each in run.summary["failures"]] == [(stage, 0)]
    first = studies.records(run.path)[TRAIN]["payload"]["members"]
    assert [member["failed"] is not None for member in first] == [False, stage == 0, False]


@pytest.mark.faults
@pytest.mark.parametrize(
    "outer",
    [
        {"outer": {"type": "greedy"}},
        {"outer": {"type": "hoag", "every": 3}},
        {"inner": {"steps": 6, "type": "sgd", "lr": 1e-4}, "outer": {"type": "drmad", "every": 3}},
    ],
    ids=lambda outer: outer["outer"]["type"],
)
def test_two_levels(outer, tmp_path, monkeypatch):
    """Where h is learned by hypergradients: the others end as if it had never been there, their h too."""
    sections = {
        "prior": {"weights": {"precision": "per_parameter"}},
        "optimizer": {"inner": {"steps": 6}, "restarts": 1, **outer},
    }
    fail_at(monkeypatch, sin="forward")
    run = studies.run(with_sin(**sections), tmp_path / "run")
    reference = studies.run(without_sin(**sections), tmp_path / "reference")
    assert values(run, TRAIN, EVALUATE) == values(reference, TRAIN, EVALUATE)
    assert [each["structure"] for each in run.summary["failures"]] == [SIN]


@pytest.mark.faults
def test_growth_goes_on_from_the_others(tmp_path, monkeypatch):
    """Structures with the sine fail in the round they come in, none of later rounds begins at them, and the rest is
    found."""
    edge = {**studies.EDGE, "choose": "any", "min": 1}
    edge["basis"] = [{"type": "dense", "activation": name} for name in ("tanh", "sin", "relu")]
    document = studies.spec(
        model=studies.model([edge, studies.LAST], h={"shape": [2]}),
        optimizer={"inner": {"steps": 6}, "restarts": 1},
        regime={"type": "growth"},
    )
    fail_at(monkeypatch, sin="forward")
    run = studies.run(document, tmp_path / "run")
    failed = {tuple(each["structure"]["x->h"]) for each in run.summary["failures"]}
    assert failed
    assert all("dense:sin" in names for names in failed)
    found = [entry["structure"]["x->h"] for entry in run.ranking]
    assert found
    assert not any("dense:sin" in names for names in found)
    parents = [
        parent["structure"]
        for task, record in studies.records(run.path).items()
        if task.endswith("-decide")
        for batch in record["payload"]["batches"]
        for parent in batch["parents"]
    ]
    assert parents
    assert not any("dense:sin" in parent["x->h"] for parent in parents)


@pytest.mark.faults
def test_all_folds_of_a_start_go_together(tmp_path, monkeypatch):
    """Two folds and the fit to all rows: the three members of the start that fails."""
    fail_at(monkeypatch, sin="forward")
    run = studies.run(with_sin(**FOLDS), tmp_path / "run")
    reference = studies.run(without_sin(**FOLDS), tmp_path / "reference")
    assert values(run, TRAIN, EVALUATE) == values(reference, TRAIN, EVALUATE)
    assert sum(member["failed"] is not None for member in studies.records(run.path)[TRAIN]["payload"]["members"]) == 3
    assert run.summary["warnings"][0].startswith("1 of 3 structures have no rank")
    assert run.summary["warnings"][1].startswith("1 of 3 members failed")
    assert numbers(run.ranking) == numbers(reference.ranking)


@pytest.mark.parametrize(
    "regime", ["enumeration", *(pytest.param(each, marks=pytest.mark.faults) for each in ("evidence", "growth"))]
)
def test_everybody_fails(regime, cli, tmp_path, monkeypatch):
    """Relaxed members too: status failed, exit code 1, and the error is said."""
    fail_at(monkeypatch, tanh="forward", relu="forward")
    path = studies.write(without_sin(regime=regime), tmp_path)
    called = cli("run", path, "-o", tmp_path / "run", "--quiet")
    assert called.code == 1, called.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["ranking"]) == ("failed", [])
    assert any("forward raised ZeroDivisionError: division by zero" in warning for warning in summary["warnings"])
    assert "ZeroDivisionError" in cli("show", tmp_path / "run").out


@pytest.mark.faults
def test_the_command_ends_with_1_where_somebody_failed(cli, tmp_path, monkeypatch):
    fail_at(monkeypatch, sin="start")
    path = studies.write(with_sin(), tmp_path)
    assert cli("run", path, "-o", tmp_path / "run", "--quiet").code == 1
    assert cli("run", path, "-o", tmp_path / "run", "--quiet").code == 1  # nothing is left to do, and it says the same


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [("memory", TaskError, "MemoryError: all is used up"), ("storage", TaskError, "StorageError: no space left"),
     pytest.param("once", TaskError, "RuntimeError: a passing cloud", marks=pytest.mark.faults)],
)  # fmt: skip
def test_what_is_no_members_fault_stands(place, error, message, tmp_path, monkeypatch):
    """Errors of memory and storage, and one that doesn't come again; the same command then continues."""
    fail_at(monkeypatch, sin=place)
    with pytest.raises(error, match=message):
        studies.run(with_sin(), tmp_path / "run")
    assert TRAIN not in studies.records(tmp_path / "run")
    monkeypatch.undo()
    assert len(studies.run(with_sin(), tmp_path / "run").ranking) == 3


@pytest.mark.faults
def test_values_that_are_refused_fail_one_restart(tmp_path, monkeypatch):
    """torch can't factor 1 − W[0, 0] where a sample of it is negative: those restarts go, their siblings stay."""
    fail_at(monkeypatch, sin="cholesky")
    optimizer = {"inner": {"steps": 20}, "restarts": 6}
    run = studies.run(study("sin", "relu", optimizer=optimizer), tmp_path / "run")
    failed = sorted(restart for each in run.summary["failures"] for restart in each["restarts"])
    assert 0 < len(failed) < 6
    assert {entry["structure"]["x->h"][0] for entry in run.ranking} == {"dense:sin", "dense:relu"}
    scores = run.dataset["setting_0/restarts"]["score"]
    assert int(scores.isnull().sum()) == len(failed)


@pytest.mark.slow
def test_compiled(tmp_path, monkeypatch):
    """The first step is traced before it is compiled: the culprit is found by the interpreted step."""
    fail_at(monkeypatch, sin="forward")
    compute = {"compile": True}
    run = studies.run(with_sin(compute=compute), tmp_path / "run")
    reference = studies.run(without_sin(compute=compute), tmp_path / "reference")
    assert values(run, TRAIN, EVALUATE) == values(reference, TRAIN, EVALUATE)
    assert [each["structure"] for each in run.summary["failures"]] == [SIN]


PACKAGE = """
import pluggy
from structflow.plugins import BasisFunction, BasisOptions, hookimpl


class Options(BasisOptions):
    broken: bool = False


class Mine(BasisFunction):
    type = "mine"
    Options = Options

    @classmethod
    def label(cls, options):
        return "mine:broken" if options.broken else "mine"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {"weight": (*in_shape, *out_shape)}

    def forward(self, weights, x):
        if self.options.broken:
            raise ArithmeticError("not today")
        return (x @ weights["weight"]).tanh()


@hookimpl
def basis_functions():
    return [Mine]
"""


@pytest.mark.faults
def test_a_strangers_function_on_two_workers(tmp_path):
    """A package of its own, in one process or on two workers: the same digests.

    Batches of two have slots for all four functions, so the broken one also runs where nobody uses it.
    """
    site = tmp_path / "site"
    information = site / "structflow_mine-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "structflow_mine.py").write_text(PACKAGE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: structflow-mine\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[structflow]\nmine = structflow_mine\n")
    edge = {
        **studies.EDGE,
        "basis": ["dense", "mine", {"type": "mine", "broken": True}, {"type": "dense", "activation": "relu"}],
    }
    document = study("tanh", compute={"compile": False, "members_per_batch": 2})
    document["model"]["edges"][0] = edge
    path = studies.write(document, tmp_path)
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = []
    for workers in ([], ["--workers", "2"]):
        output = f"run{len(found)}"
        done = studies.call("run", path, "-o", output, "--quiet", *workers, cwd=tmp_path, PYTHONPATH=paths)
        assert done.returncode == 1, done.stderr
        found.append(studies.digests(tmp_path / output))
    assert found[0] == found[1]
    summary = json.loads((tmp_path / "run1" / "summary.json").read_text())
    assert {entry["structure"]["x->h"][0] for entry in summary["ranking"]} == {"dense:tanh", "mine", "dense:relu"}
    assert "forward raised ArithmeticError: not today" in summary["warnings"][0]


class StoppedError(BaseException):
    """What stands for the end of the process."""


@pytest.mark.faults
def test_checkpoints_of_the_others_stand_apart(undisturbed, tmp_path, monkeypatch):
    """Stopped while the others train: the next call finds the culprit again and goes on from their own checkpoint."""
    fail_at(monkeypatch, sin="start")
    begun = open_run(studies.study(with_sin()), tmp_path / "run", None)
    directory, plan = begun.directory, begun.plan
    run_task(str(directory.path), "setting0-round0-decide", [])
    context = open_context(str(directory.path))
    task = next(task for task in plan.tasks() if task.name == TRAIN)
    slots = CheckpointSlots(directory, TRAIN)

    def stop(steps):
        raise StoppedError

    with pytest.raises(StoppedError):
        train_batch(context, task, stop, StopAfter(slots, 0.0, stop=4))
    (kept,) = slots.folder.iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["step-000000000003.npz", "step-000000000004.npz"]
    begun = TimedCheckpoints(slots, 1000.0)
    found = train_batch(context, task, lambda steps: None, begun)
    run_task(str(directory.path), TRAIN, [])
    payload = studies.records(directory.path)[TRAIN]["payload"]
    assert payload == json.loads(found.record.model_dump_json())
    assert [each for each in payload["members"] if each["failed"] is None] == values(undisturbed, TRAIN)[0]
    assert not slots.folder.exists()


class StopAfter(TimedCheckpoints):
    """Ends after so many steps."""

    def __init__(self, slots, interval, stop):
        super().__init__(slots, interval)
        self.stop = stop

    def save(self, step, arrays):
        super().save(step, arrays)
        self.due_at = self.clock()
        if step == self.stop:
            raise StoppedError


def starts(number):
    return starts_of(Candidate(None, restart) for restart in range(number))


def raising_for(guilty, calls):
    def trial(some):
        calls.append(len(some))
        named = [start[0].restart for start in some if start[0].restart in guilty]
        if named:
            raise ValueError(f"restart {named[0]}")

    return trial


def test_halves_find_the_guilty():
    """1 of 16: the whole, then two halves four times, 9 trials; all of 16: 31, every node of the tree of halves."""
    calls = []
    found = failing(starts(16), raising_for({5}, calls))
    assert {start[0].restart: error for start, error in found.items()} == {5: "ValueError: restart 5"}
    assert calls == [16, 8, 4, 4, 2, 1, 1, 2, 8]
    calls = []
    assert len(failing(starts(16), raising_for(set(range(16)), calls))) == 16
    assert len(calls) == 31


def test_attempts_are_bounded():
    """Work that always raises, and trials that blame one more each time: five attempts, then the error stands."""
    seen = []

    def work(some):
        seen.append(len(some))
        raise ValueError("again")

    def trial(some):
        if any(start[0].restart == len(seen) for start in some):
            raise ValueError("me")

    with pytest.raises(ValueError, match="again"):
        without_failing(starts(16), work, lambda: [trial], lambda found: None)
    assert seen == [16, 15, 14, 13, 12]
    assert len(seen) == MOST_ATTEMPTS


def test_memory_of_the_machine_is_no_members():
    """torch says so in a RuntimeError of its own."""
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert not failing_starts.may_be_of_a_member(caught.value)
    assert failing_starts.may_be_of_a_member(RuntimeError("shapes differ"))
    assert not failing_starts.may_be_of_a_member(StorageError("full"))


def test_an_error_of_all_may_be_of_none():
    """Where all may not fail, what every one of several raises stands; the last of them may still fail alone."""

    def work(some):
        raise ValueError("the estimator's own")

    assert without_failing(starts(3), work, lambda: [work], lambda found: None) is None
    with pytest.raises(ValueError, match="own"):
        without_failing(starts(3), work, lambda: [work], lambda found: None, all_may_fail=False)
    assert without_failing(starts(1), work, lambda: [work], lambda found: None, all_may_fail=False) is None
