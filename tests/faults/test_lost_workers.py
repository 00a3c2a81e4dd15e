"""Workers that go and don't come back, or come back as others: the command ends, and says what it waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sabotage as sabotaged
import studies
from clusters import DaskCluster, called, continued, ended, started, wait_until
from sabotage import path_with

pytestmark = pytest.mark.faults

STUDY = sabotaged.study(batches=2)
"""A decision, two batches to train and to evaluate, a selection: six tasks."""

WAIT = 15
"""Seconds that the cluster files of these tests give workers to come."""


def command(folder: Path, cluster_file: str) -> tuple[str, ...]:
    """Write spec and cluster file; the command that runs the one on the other."""
    studies.write(STUDY, folder)
    (folder / "cluster.yaml").write_text(cluster_file)
    return ("run", "spec.yaml", "-o", "run", "--quiet", "--cluster", "cluster.yaml")


def of_scheduler(dask: DaskCluster, more: str = "") -> str:
    return f"{{type: scheduler, address: '{dask.address}', wait_seconds: {WAIT}{more}}}\n"


@contextmanager
def kept_alive(dask: DaskCluster, **environment: str) -> Iterator[list[str]]:
    """Someone who starts a worker whenever the one before has ended, as a service manager does; its names."""
    names: list[str] = []
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            if not names or dask.processes[names[-1]].poll() is not None:
                names.append(f"again{len(names)}")
                dask.worker(names[-1], **environment)
            time.sleep(0.1)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield names
    finally:
        over.set()
        keeper.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_code_that_changes_while_workers_of_ones_own_are_restarted(tmp_path, package, sabotage, workers):
    """Every worker dies once, comes back with other code and is refused: the run ends long before the wait does."""
    asked = command(tmp_path, f"{{type: local, workers: {workers}}}\n")
    environment = {**sabotage.environment, "PYTHONPATH": path_with(package.parent, sabotaged.PACKAGE)}
    sabotage.hold()
    with started(*asked, cwd=tmp_path, **environment) as process:
        wait_until(lambda: len(list(tmp_path.glob("run/checkpoints/*/*/step-*"))) >= workers, "all train", process)
        sabotaged.change(package)
        sabotage.kill_some(0, ["exit"], deaths=workers)
        begun = time.monotonic()
        sabotage.release()
        err = ended(process, 4)
    assert time.monotonic() - begun < 100
    assert err.count(" was lost while it did ") == workers
    assert err.count("has other versions than this process, and leaves without doing anything: structflow's code ") == (
        workers
    )
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    last = "the last one" if workers == 1 else f"the last {workers}"
    assert line.startswith(f"error: no worker is left: {last} had other versions than this process, and would")
    (row,) = [line for line in err.splitlines() if line.startswith("  ")]
    assert row.startswith("  structflow's code ")
    assert "; here " in row
    assert "changed after the command was started, give the same command again" in err
    assert "1 of 6 tasks are committed; the same command continues the run" in err
    sabotage.pardon()
    continued(tmp_path / "run")


def test_a_worker_that_is_started_again_and_refused_each_time(tmp_path, dask, package, sabotage):
    """On a scheduler that runs already, whoever restarts workers does so without end; the command doesn't."""
    sabotaged.change(package)
    sabotage.hold()
    dask.worker("first")
    with started(*command(tmp_path, of_scheduler(dask)), cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "the first worker trains", process)
        dask.processes["first"].kill()
        begun = time.monotonic()
        with kept_alive(dask, PYTHONPATH=path_with(package.parent, sabotaged.PACKAGE)) as names:
            err = ended(process, 4)
    assert time.monotonic() - begun >= WAIT
    assert len(names) >= 2
    assert 1 <= err.count("has other versions than this process, and leaves without doing anything") <= 3
    assert " had other versions than this process, and would compute other numbers:\n  structflow's code" in err
    assert "1 of 6 tasks are committed" in err


def test_a_keeper_does_not_restart_a_worker_that_is_refused(tmp_path, dask, package, sabotage, undisturbed):
    """`dask worker` with its nanny ends; another worker of the same versions then does the run."""
    sabotaged.change(package)
    sabotage.hold()
    dask.worker("first")
    with started(*command(tmp_path, of_scheduler(dask)), cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "the first worker trains", process)
        other = dask.start(
            "other", "worker", dask.address, "--nthreads", "1", "--no-dashboard", "--name", "other",
            PYTHONPATH=path_with(package.parent, sabotaged.PACKAGE),
        )  # fmt: skip
        wait_until(lambda: other.poll() is not None, "it leaves with its nanny", process)
        sabotage.release()
        err = ended(process, 0)
    assert len(err.splitlines()) == 1
    assert studies.digests(tmp_path / "run") == undisturbed


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, str]:
    return studies.digests(studies.run(STUDY, tmp_path / "undisturbed").path)


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_the_last_worker_goes(tmp_path, dask, sabotage, how):
    """A job that is over, or a machine that is lost: a worker may still come within the wait, then the run ends."""
    sabotage.hold()
    first = dask.worker("first")
    with started(*command(tmp_path, of_scheduler(dask)), cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "the first worker trains", process)
        getattr(first, how)()
        if how == "terminate":
            sabotage.release()  # it leaves once its step is over
        first.wait()
        begun = time.monotonic()
        err = ended(process, 4)
    assert WAIT - 5 <= time.monotonic() - begun < WAIT + 60
    assert f"error: no worker has been there for {WAIT} s: all have left; start workers, or look at the queue\n" in err
    assert "tasks are committed; the same command continues the run" in err


def test_the_last_worker_with_a_resource_goes(tmp_path, dask, sabotage):
    sabotage.hold()
    first = dask.worker("first", "--resources", "ROOM=1")
    dask.worker("other")
    asked = command(tmp_path, of_scheduler(dask, ", resources: {ROOM: 1}"))
    with started(*asked, cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "the first worker trains", process)
        dask.wait_for("other")
        first.kill()
        err = ended(process, 4)
    assert f"error: none of 1 worker(s) has offered ROOM=1 for {WAIT} s, which training needs; start workers" in err


def test_workers_without_memory_for_a_task(tmp_path, dask, sabotage):
    """Dask pauses a worker that uses too much of its memory; where it stays so, nothing would ever be done."""
    dask.worker("first", "--memory-limit", "1GiB", DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE="0.1")
    dask.wait_for("first")
    err = called(*command(tmp_path, of_scheduler(dask)), cwd=tmp_path, code=4, **sabotage.environment)
    assert (
        f"error: no worker has taken a task for {WAIT} s: 1 of 1 use too much of their memory (a limit of 1,024 MiB) "
        "to take one; give them more (memory_limit), or start fewer workers\n"
    ) in err


def test_a_worker_without_structflow_joins_midway(tmp_path, dask, sabotage, undisturbed):
    """Its tasks are those of a worker that was lost."""
    broken = tmp_path / "broken" / "structflow"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no structflow here')\n")
    sabotage.hold()
    dask.worker("first")
    with started(*command(tmp_path, of_scheduler(dask)), cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "the first worker trains", process)
        dask.start(
            "other", "worker", dask.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", "other",
            PYTHONPATH=path_with(broken.parent),
        )  # fmt: skip
        dask.wait_for("other")
        dask.processes["first"].kill()
        sabotage.release()
        dask.worker("third")
        err = ended(process, 0)
    assert "was lost while it did" in err
    assert studies.digests(tmp_path / "run") == undisturbed
