"""Plans of thousands of tasks: what a task costs doesn't grow with their number."""

from __future__ import annotations

import pickle
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import studies
from distributed import Client, LocalCluster, get_worker

from structflow.plan.plan import ExecutionPlan, Plan, RoundPlan, SettingPlan
from structflow.report.progress import StepCounter
from structflow.results import run as run_module
from structflow.runner.decided import decided_batches, keys_of_parents
from structflow.runner.executors import run_wave, task_graph
from structflow.runner.news import News
from structflow.runner.parents import parents_of
from structflow.runner.progress import Progress
from structflow.runner.submission import Submission
from structflow.runner.tracking import Tracking
from structflow.runner.worker_watch import WorkerWatch
from structflow.store.run_directory import RunDirectory

SUBMISSION = Submission("/shared/run", "0123456789ab", {"python": "3.11", "torch": "2.13"})
FEW, MANY = 300, 3000


def plan_of(batches: int, rounds: int = 1, stages: int = 1) -> Plan:
    """A setting of rounds with so many batches each."""
    each = tuple(RoundPlan(f"r{number}", False, batches, True, 1, batches, (5,) * stages) for number in range(rounds))
    return Plan(batches, (SettingPlan({}, each),), ExecutionPlan("cpu", "float32", False, 1), 1.0, 1)


def calls_of(work: Callable[[], object]) -> int:
    """How many functions some work calls: what it costs, whatever else this machine does."""
    count = 0

    def hear(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(hear)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("rounds", "stages"), [(1, 1), (3, 2)], ids=["one round", "rounds and stages"])
def test_the_graph_grows_with_the_number_of_tasks(rounds, stages):
    """Ten times the batches take ten times the calls and bytes. Nested `dask.delayed` took more than fifty times."""
    costs, sizes = [], []
    for batches in (FEW, MANY):
        plan = plan_of(batches, rounds, stages)
        costs.append(calls_of(partial(task_graph, SUBMISSION, plan, ())))
        graph = task_graph(SUBMISSION, plan, ())
        assert len(graph) == rounds * (1 + stages * batches) + 1 + rounds * batches
        sizes.append(len(pickle.dumps(graph)))
    assert costs[1] / costs[0] == pytest.approx(MANY / FEW, rel=0.05)
    assert sizes[1] / sizes[0] == pytest.approx(MANY / FEW, rel=0.1)
    assert sizes[1] / len(graph) < 400  # bytes of a task: names, and the keys of its parents


def test_tasks_that_were_given_up_take_what_waits_for_them_along():
    """A batch of the first round that can't be trained leaves the other batches, and nothing that needs it."""
    graph = task_graph(SUBMISSION, plan_of(3, rounds=2), {"setting0-round0-batch1-stage0-train"})
    assert sorted(SUBMISSION.name_of(key) for key in graph) == [
        "setting0-round0-batch0-stage0-train", "setting0-round0-batch2-stage0-train", "setting0-round0-decide"
    ]  # fmt: skip


def test_progress_is_counted_without_going_over_all_tasks(tmp_path):
    """News of a task cost the same in a plan of ten times as many."""
    costs = []
    for batches in (FEW, MANY):
        counter = StepCounter(plan_of(batches), RunDirectory(tmp_path))
        news = Progress("setting0-round0-batch7-stage0-train", 3)

        def hear(counter: StepCounter = counter, news: Progress = news) -> int:
            counter.hear(news)
            return counter.completed

        costs.append(calls_of(hear))
        assert counter.completed == 3
    assert costs[0] == costs[1]


def test_what_all_tasks_need_is_read_once(tmp_path, monkeypatch):
    """Decisions and picks are read once a process; parents are found by their keys alone."""
    read: Counter[str] = Counter()
    record = RunDirectory.record

    def counted(directory: RunDirectory, task: str) -> Any:
        read[task] += 1
        return record(directory, task)

    document = studies.spec(
        model=studies.model([{"from": "x", "to": "y", "choose": "any", "basis": ["linear", "constant"]}]),
        optimizer={"inner": {"steps": 2}, "restarts": 2},
        regime={"type": "growth", "max_rounds": 2},
        compute={"compile": False, "members_per_batch": 1},
    )
    with monkeypatch.context() as patched:
        patched.setattr(RunDirectory, "record", counted)
        patched.setattr(run_module, "finish", lambda *arguments: None)  # which reads all records of the run itself
        patched.setattr(Tracking, "finished", lambda self: None)
        context = studies.run(document, tmp_path / "run").context
    batches = sum(task.kind == "train" for task in context.plan.tasks())
    assert batches >= 6
    decisions = [read[name] for name, task in context.plan.by_name.items() if task.kind == "decide"]
    assert [*decisions, read["setting0-select"]] == [1, 1, 1]  # each of two rounds, and the picks
    second = decided_batches(context.directory, 0, 1)
    children = [member for decided in second for member in decided.members if member.parent is not None]
    assert children
    keys = keys_of_parents(context.directory, children, 0)
    (parents,) = parents_of(context, 0, children)
    for child, key in zip(children, keys, strict=True):
        assert key in {own[-1] for batch in decided_batches(context.directory, 0, 0) for own in batch.keys}
        origin = parents.bound.population.members[parents.pairs[children.index(child)]]
        assert (origin.structure, origin.restart) == (child.parent.structure, child.parent.restart)


@pytest.fixture
def threads() -> Iterator[WorkerWatch]:
    """A scheduler and a worker in this process, whose worker offers a GPU."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**options, resources={"GPU": 1}) as cluster, Client(cluster) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        yield WorkerWatch(client, News(lambda progress: None), {"GPU": 1}, patience=60.0, known=[*workers])


def done(submission: Submission, name: str, parents: list[tuple[str, str]]) -> tuple[str, str]:
    """In place of a task: it has its parents' results."""
    assert all(digest == "digest" for _, digest in parents)
    return name, "digest"


@pytest.mark.thorough
def test_a_scheduler_carries_out_thousands_of_tasks(threads):
    """Eight times the tasks take about eight times as long, from the plan to the last result; three runs a size."""
    seconds = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that a graph is large, for one
        for batches in (125, 1000):
            taken = []
            for number in range(3):
                submission = Submission("/shared/run", f"{batches}-{number}", {})
                begun = time.process_time()
                graph = task_graph(submission, plan_of(batches), ())
                works = {key: (done, *call[1:]) for key, call in graph.items()}
                assert run_wave(threads, submission, works) == {}
                taken.append(time.process_time() - begun)
            seconds[batches] = min(taken)
    assert seconds[1000] / seconds[125] < 16  # eight, and what a busy machine adds; the square would be 64


@pytest.mark.thorough
def test_training_and_evaluation_take_resources_of_a_worker(threads):
    """A GPU has one population at a time; decisions take nothing of it."""
    plan = plan_of(2)
    works = dict.fromkeys(task_graph(SUBMISSION, plan, ()), (note_restrictions,))
    assert run_wave(threads, SUBMISSION, works) == {}
    seen = {SUBMISSION.name_of(key): taken for key, taken in SEEN.items()}
    assert seen == {
        name: {"GPU": 1} if task.kind in ("train", "evaluate") else {} for name, task in plan.by_name.items()
    }


SEEN: dict[str, Any] = {}


def note_restrictions() -> None:
    """Note what the worker holds for a task while it is done."""
    worker = get_worker()
    key = worker.get_current_task()
    SEEN[key] = dict(worker.state.tasks[key].resource_restrictions or {})
