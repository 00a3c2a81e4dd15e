"""When a run on a cluster is given up for lack of workers; tests/faults/test_lost_workers.py has real ones."""

from __future__ import annotations

import time
from typing import Any

import pytest

from structflow.errors import ClusterError
from structflow.runner.news import News
from structflow.runner.worker_watch import INTERVAL, MOST_REFUSED, WorkerWatch

OLD, NEW = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"
TASK = "setting0-round0-batch3-stage0-train"
WAIT = 10.0


class Scheduler:
    """What a client tells of a scheduler: its workers."""

    def __init__(self) -> None:
        self.workers: dict[str, dict[str, Any]] = {}

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1  # all of them
        return {"workers": self.workers}


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = time.monotonic()  # defaults were bound to the true clock

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def watch(clock: Clock, scheduler: Scheduler) -> WorkerWatch:
    return WorkerWatch(scheduler, News(lambda progress: None), {}, WAIT, known=[OLD])


def say(watch: WorkerWatch, worker: str, **message: Any) -> None:
    watch.news.of_the_run((0.0, {"worker": worker, **message}))


def refuse(watch: WorkerWatch, number: int) -> None:
    say(watch, f"tcp://127.0.0.1:{number}", refused=f"worker {number}", versions=["torch 1; here 2"])


def seconds_until_given_up(watch: WorkerWatch, clock: Clock, most: float = 10 * WAIT) -> tuple[float, str]:
    """How long it goes on looking, and what it says then."""
    begun = clock.now
    while clock.now < begun + most:
        try:
            watch.look()
        except ClusterError as error:
            return clock.now - begun, str(error)
        clock.now += 0.5
    return clock.now - begun, ""


def test_a_known_worker_may_be_busy_with_another_run_for_ever(watch, scheduler, clock):
    scheduler.workers[OLD] = {}
    assert seconds_until_given_up(watch, clock) == (10 * WAIT, "")


def test_a_worker_that_joined_may_be_so_too(watch, scheduler, clock):
    """Nothing of it was compared yet; of three that were refused since, it might be the fourth."""
    scheduler.workers[NEW] = {}
    assert seconds_until_given_up(watch, clock) == (10 * WAIT, "")
    for number in range(MOST_REFUSED):
        refuse(watch, 10 + number)
    assert f"the last {MOST_REFUSED} had other versions" in seconds_until_given_up(watch, clock)[1]


def test_the_wait_counts_from_what_was_heard_last(watch, scheduler, clock):
    scheduler.workers[OLD] = {}
    assert seconds_until_given_up(watch, clock, 3 * WAIT)[1] == ""
    scheduler.workers.clear()
    say(watch, NEW, begins=TASK)
    watch.news.of_the_cluster((0.0, {"action": "remove-worker", "worker": NEW, "expected": True}))
    waited, said = seconds_until_given_up(watch, clock)
    assert WAIT <= waited <= WAIT + INTERVAL
    assert said.startswith("no worker has been there for 10 s: all have left")


def test_refusals_before_a_worker_that_worked_do_not_count(watch, scheduler, clock):
    for number in range(MOST_REFUSED):
        refuse(watch, 10 + number)
    clock.now += 1
    say(watch, NEW, begins=TASK)
    say(watch, NEW, ends=TASK)
    assert seconds_until_given_up(watch, clock)[1].startswith("no worker has been there")


def test_workers_of_ones_own_do_not_come_back(watch, scheduler, clock):
    """As many as there were have been refused: it is given up at the next look, whatever the wait."""
    watch.started_here = 2
    refuse(watch, 10)
    watch.patience = 1e6
    assert seconds_until_given_up(watch, clock)[1] == ""
    refuse(watch, 11)
    waited, said = seconds_until_given_up(watch, clock)
    assert waited <= INTERVAL
    assert said.startswith("no worker is left: the last 2 had other versions than this process, and would compute")
    assert said.count("torch 1; here 2") == 1


def test_what_takes_no_resource_is_done_by_any_worker(watch, scheduler, clock):
    """A selection may run where there is no GPU; nobody is there to train what is left."""
    watch.resources = {"GPU": 1}
    scheduler.workers[OLD] = {"resources": {}}
    say(watch, OLD, begins="setting0-select")
    assert seconds_until_given_up(watch, clock) == (10 * WAIT, "")
    say(watch, OLD, ends="setting0-select")
    assert seconds_until_given_up(watch, clock)[1].startswith("none of 1 worker(s) has offered GPU=1 for 10 s")


@pytest.mark.parametrize(("counts", "given_up"), [({}, True), ({"executing": 1}, False)])
def test_a_paused_worker_may_end_what_it_does(watch, scheduler, clock, counts, given_up):
    scheduler.workers[OLD] = {"status": "paused", "memory_limit": 2**30, "metrics": {"task_counts": counts}}
    said = seconds_until_given_up(watch, clock)[1]
    assert ("1 of 1 use too much of their memory (a limit of 1,024 MiB)" in said) == given_up
