"""Runs in different places, or in one place one after the other, are never taken for one another."""

from __future__ import annotations

import shutil
from pathlib import Path

import studies

from structflow.plan.tasks import Task
from structflow.runner.context import open_context
from structflow.runner.driver import open_run
from structflow.runner.progress import Progress
from structflow.runner.submission import Submission
from structflow.store.run_directory import RunDirectory

TRAIN = Task("train", 0, 0, 0, 3)
NAME = "setting0-round0-batch3-stage0-train"


def opened(path: Path, seed: int = 0) -> RunDirectory:
    return open_run(studies.study(studies.spec(seed=seed)), path, None)[0]


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
    for submission in (one, two, again):
        assert [submission.owns(key) for key in keys] == [key == submission.key_of(TRAIN) for key in keys]
        assert submission.name_of(submission.key_of(TRAIN)) == NAME


def test_losses_are_those_of_the_run(tmp_path, capsys):
    """A worker that was lost did tasks of several runs; messages are of the run's own, by the names of its tasks."""
    one, two = (Submission.of(opened(tmp_path / name)) for name in ("one", "two"))
    hear = one.warn_of_losses()
    lost = {"action": "remove-worker", "worker": "tcp://127.0.0.1:1", "expected": False}
    hear((0.0, {**lost, "processing-tasks": {two.key_of(TRAIN): 1.0}}))
    assert capsys.readouterr().err == ""
    for attempt in (1, 2):
        hear((0.0, {**lost, "processing-tasks": {one.key_of(TRAIN): 1.0, two.key_of(TRAIN): 1.0}}))
        assert capsys.readouterr().err == (
            f"warning: worker tcp://127.0.0.1:1 was lost while it did {NAME} (attempt {attempt}); the task is done "
            "again elsewhere\n"
        )
    hear((0.0, {**lost, "expected": True, "processing-tasks": {one.key_of(TRAIN): 1.0}}))
    assert capsys.readouterr().err == ""


def test_news_of_workers(tmp_path, capsys):
    """Progress is passed on; a worker that left is named, with what differs."""
    submission = Submission.of(opened(tmp_path / "run"))
    heard: list[Progress] = []
    hear = submission.news_for(heard.append)
    hear((0.0, {"task": NAME, "steps": 5, "finished": False, "worker": "tcp://127.0.0.1:1"}))
    hear((0.0, {"refused": "worker late at tcp://127.0.0.1:2", "versions": ["zarr 3.0.0; here 3.1.6"]}))
    assert heard == [Progress(NAME, 5)]
    assert capsys.readouterr().err == (
        "warning: worker late at tcp://127.0.0.1:2 has other versions than this process, and leaves without doing "
        "anything: zarr 3.0.0; here 3.1.6\n"
    )
