"""Runs in different places, or in one place one after the other, are never taken for one another."""

from __future__ import annotations

import shutil
from pathlib import Path

import studies

from structflow.plan.tasks import Task
from structflow.runner.context import open_context
from structflow.runner.driver import open_run
from structflow.runner.submission import Submission
from structflow.store.run_directory import RunDirectory

TRAIN = Task("train", 0, 0, 0, 3)
NAME = "setting0-round0-batch3-stage0-train"


def opened(path: Path, seed: int = 0) -> RunDirectory:
    return open_run(studies.study(studies.spec(seed=seed)), path, None).directory


def test_a_process_reads_a_run_once_and_another_one_anew(tmp_path):
    """It would otherwise carry out the plan of a directory that was deleted, with its seed."""
    path = tmp_path / "run"
    opened(path)
    first = open_context(str(path))
    assert open_context(str(path)) is first
    shutil.rmtree(path)
    opened(path, seed=1)
    second = open_context(str(path))
    assert (first.study.spec.seed, second.study.spec.seed) == (0, 1)


def test_keys_tell_runs_apart(tmp_path):
    """One spec in two directories, and a directory that is made again: three runs, and each knows its own keys."""
    one = Submission.of(opened(tmp_path / "one"))
    two = Submission.of(opened(tmp_path / "two"))
    assert Submission.of(RunDirectory(tmp_path / "one")) == one
    (tmp_path / "one").rename(tmp_path / "before")
    again = Submission.of(opened(tmp_path / "one"))
    keys = [each.key_of(TRAIN) for each in (one, two, again)]
    assert len(set(keys)) == 3
    assert {each.topic for each in (one, two, again)} == {f"structflow-{each.run}" for each in (one, two, again)}
    assert one.name_of(one.key_of(TRAIN)) == NAME
