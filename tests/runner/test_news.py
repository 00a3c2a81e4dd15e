"""What the driver makes of the events of a scheduler."""

from __future__ import annotations

import pytest

from structflow.runner.news import News
from structflow.runner.progress import Progress

TASK, OTHER = "setting0-round0-batch3-stage0-train", "setting0-round0-batch4-stage0-train"
WORKER = "tcp://127.0.0.1:1"


@pytest.fixture
def heard() -> list[Progress]:
    return []


@pytest.fixture
def news(heard) -> News:
    return News(heard.append)


def say(news: News, **message) -> None:
    news.of_the_run((0.0, {"worker": WORKER, **message}))


def lose(news: News, worker: str = WORKER, expected: bool = False) -> None:
    """Dask names all tasks that the worker had, begun or not, of this run or another."""
    tasks = {f"train-0123456789ab.0@{TASK}", f"train-0123456789ab.0@{OTHER}", "somebody-elses"}
    news.of_the_cluster(
        (0.0, {"action": "remove-worker", "worker": worker, "expected": expected, "processing-tasks": tasks})
    )


def test_progress_is_passed_on(news, heard):
    say(news, begins=TASK)
    say(news, task=TASK, steps=5, finished=False)
    say(news, task=TASK, steps=0, finished=True)
    say(news, ends=TASK)
    assert heard == [Progress(TASK, 5), Progress(TASK, 0, finished=True)]


def test_only_what_was_being_done_lost_its_worker(news, capsys):
    """Not what waited there, nor what had ended; each loss is counted and said."""
    for attempt in (1, 2):
        say(news, begins=OTHER)
        say(news, ends=OTHER)
        say(news, begins=TASK)
        lose(news)
        assert capsys.readouterr().err == (
            f"warning: worker {WORKER} was lost while it did {TASK} (attempt {attempt}); the task is done again "
            "elsewhere\n"
        )
    assert news.deaths == {TASK: 2}


def test_other_losses_are_no_deaths(news, capsys):
    """A worker that leaves as it should, one that did nothing, and one that did what wasn't of this run."""
    say(news, begins=TASK)
    lose(news, expected=True)
    lose(news)
    lose(news, worker="tcp://127.0.0.1:2")
    news.of_the_cluster((0.0, {"action": "add-worker", "worker": WORKER}))
    assert news.deaths == {}
    assert capsys.readouterr().err == ""


def test_a_worker_that_leaves_is_named(news, capsys):
    say(news, refused="worker late at tcp://127.0.0.1:2", versions=["zarr 3.0.0; here 3.1.6"])
    assert capsys.readouterr().err == (
        "warning: worker late at tcp://127.0.0.1:2 has other versions than this process, and leaves without doing "
        "anything: zarr 3.0.0; here 3.1.6\n"
    )


def test_workers_that_come_back_as_others_are_named_a_few_times(news, capsys):
    """A worker says so once for each task that it was given before it left; the fourth like it isn't named."""
    for number in (1, 1, 2, 3, 4, 5):
        message = {"refused": f"worker {number}", "versions": ["zarr 3.0.0; here 3.1.6"]}
        news.of_the_run((0.0, {"worker": f"tcp://127.0.0.1:{number}", **message}))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == ["1", "2", "3"]
    assert lines[-1].endswith("; further ones like it are not named")
    assert len(news.refused) == 5
