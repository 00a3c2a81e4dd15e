"""`structflow resume`: a run goes on from its directory alone, whatever began it."""

from __future__ import annotations

from pathlib import Path

import pytest
import studies

import structflow
from structflow.errors import CallError
from structflow.runner import executors

OVERRIDES = ["--set", "optimizer.restarts=3", "--set", "name=other"]


@pytest.fixture
def interrupted(cli, monkeypatch, tmp_path) -> Path:
    """A run begun with --set and stopped by Ctrl-C after its first batch; its spec and its table are gone."""
    table = Path("table.csv")
    table.write_text("a,b\n" + "".join(f"{row},{row * row % 7}\n" for row in range(20)))
    data = {"source": "csv", "path": "table.csv", "target": "b", "split": {"test": 0.25}}
    document = studies.spec(data=data, compute={"compile": False, "members_per_batch": 2})
    spec = studies.write(document, Path.cwd())
    done = executors.run_task

    def then_interrupted(path, name, parents):
        found = done(path, name, parents)
        if "train" in name:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patched:
        patched.setattr(executors, "run_task", then_interrupted)
        called = cli("run", spec, "-o", "run", *OVERRIDES)
    assert called.code == 130
    assert called.err.endswith("interrupted; the same command continues the run\n")
    spec.unlink()
    table.unlink()
    return Path("run")


def test_what_show_suggests_can_be_followed(cli, interrupted, tmp_path):
    err = cli("show", interrupted).err
    assert err == f"error: the run in run isn't finished; continue it with: structflow resume {interrupted}\n"
    called = cli("resume", interrupted)
    assert called.code == 0, called.err
    assert "run run: finished, 2 structures" in called.out
    assert structflow.Run(interrupted).ranking[0]["restarts"] == 3


def test_another_spec_on_an_unfinished_run_hears_of_resume(interrupted, cli, tmp_path):
    """The command without the `--set` of the first call: what differs, and what continues the run as it is."""
    spec = studies.write(studies.spec(seed=1), tmp_path)
    err = cli("run", spec, "-o", interrupted).err
    assert err.startswith("error: run holds an unfinished run of another study:\n")
    assert "seed: 0 → 1" in err
    assert err.endswith("; to continue it as it was begun: structflow resume run\n")


def test_from_python(interrupted):
    run = structflow.resume(interrupted)
    assert len(run.ranking) == 2
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert structflow.resume(interrupted).ranking == run.ranking
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before  # finished: left as it is


def test_the_numbers_are_those_of_a_run_that_nobody_stopped(interrupted, cli, tmp_path):
    Path("table.csv").write_text("a,b\n" + "".join(f"{row},{row * row % 7}\n" for row in range(20)))
    data = {"source": "csv", "path": "table.csv", "target": "b", "split": {"test": 0.25}}
    spec = studies.write(studies.spec(data=data, compute={"compile": False, "members_per_batch": 2}), Path.cwd())
    assert cli("run", spec, "-o", "whole", *OVERRIDES, "--quiet").code == 0
    assert cli("resume", interrupted, "--quiet").code == 0
    assert studies.digests(interrupted) == studies.digests(Path("whole"))


@pytest.mark.parametrize("at", ["load_study", "opened"])
def test_before_there_is_a_plan_nothing_is_continued(cli, monkeypatch, tmp_path, at):
    """Interrupted while the data are read, or while workers start: no run directory is there yet."""

    def interrupted_there(*arguments, **options):
        raise KeyboardInterrupt

    module = "structflow.spec.load" if at == "load_study" else "structflow.runner.driver"
    monkeypatch.setattr(f"{module}.{at}", interrupted_there)
    for output in [["-o", "run"], []]:
        called = cli("run", studies.write(studies.spec(), tmp_path), *output)
        assert called.code == 130
        assert called.err.endswith("interrupted; the same command starts it again\n")
    assert not Path("run").exists()


def test_of_a_folder_without_a_run(tmp_path, cli):
    with pytest.raises(CallError, match="is not a run directory"):
        structflow.resume(tmp_path)
    assert cli("resume", tmp_path).code == 2
