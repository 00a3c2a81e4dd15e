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


def test_of_a_folder_without_a_run(tmp_path, cli):
    with pytest.raises(CallError, match="is not a run directory"):
        structflow.resume(tmp_path)
    assert cli("resume", tmp_path).code == 2
