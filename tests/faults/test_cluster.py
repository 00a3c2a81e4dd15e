"""Real schedulers and workers that are lost, frozen or wrong: the end is the same, or says what to do."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

import pytest
import sabotage as sabotaged
import studies
from clusters import PATIENCE, DaskCluster, called, continued, ended, faked, slowdown, started, wait_until
from sabotage import Sabotage, path_with

from structflow.store.run_directory import RunDirectory

pytestmark = pytest.mark.faults

STUDY = sabotaged.study(batches=4)
"""Four batches."""

TASKS = 10
"""A decision, four batches to train and to evaluate, a selection."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    found = studies.digests(studies.run(STUDY, folder / "run").path)
    assert len(found) == TASKS
    return found


def submitted(
    folder: Path, dask: DaskCluster, sabotage: Sabotage, run: str = "run"
) -> AbstractContextManager[Popen[str]]:
    """The run, from a process that only submits it."""
    studies.write(STUDY, folder)
    return started(
        "run", "spec.yaml", "-o", run, "--quiet", "--scheduler", dask.address, cwd=folder, **sabotage.environment
    )


def trained(folder: Path) -> list[Path]:
    return list(folder.glob("run/records/*-train.json"))


def half_trained(folder: Path) -> set[str]:
    """Tasks with a checkpoint."""
    return {path.parent.parent.name for path in folder.glob("run/checkpoints/*/*/step-*")}


def workers_of(folder: Path) -> set[str]:
    return {record["worker"] for record in studies.records(folder / "run").values()}


def test_a_worker_joins_midway(tmp_path, dask, sabotage, undisturbed):
    """A run is submitted from another process; a worker added midway takes work; all is as in one process."""
    sabotage.hold()
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        wait_until(lambda: half_trained(tmp_path), "the first worker trains", process)
        dask.worker("second")
        dask.wait_for("second")
        wait_until(lambda: len(half_trained(tmp_path)) == 2, "the second trains beside it", process)
        sabotage.release()
        assert ended(process, 0) == ""
    assert studies.digests(tmp_path / "run") == undisturbed
    assert workers_of(tmp_path) == {"first", "second"}


def test_a_killed_worker(tmp_path, dask, sabotage, undisturbed):
    """Fault 1: SIGKILL mid-stage; the other worker goes on from the checkpoint, and the log says so."""
    sabotage.hold()
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        wait_until(lambda: half_trained(tmp_path), "a stage is half-way", process)
        (lost,) = half_trained(tmp_path)
        dask.processes["first"].kill()
        dask.worker("second")
        sabotage.release()
        err = ended(process, 0)
    assert f"was lost while it did {lost} (attempt 1); the task is done again elsewhere" in err
    assert len(err.splitlines()) == 1
    assert studies.records(tmp_path / "run")[lost]["worker"] == "second"
    assert studies.digests(tmp_path / "run") == undisturbed


def test_a_frozen_worker_that_thaws(tmp_path, dask, sabotage, undisturbed):
    """Fault 7: it is replaced after 20 s without a sign of life; there is one record, and `gc` finds what is late."""
    sabotage.hold()
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        wait_until(lambda: half_trained(tmp_path), "a stage is half-way", process)
        (frozen,) = half_trained(tmp_path)
        os.killpg(dask.processes["first"].pid, signal.SIGSTOP)
        dask.worker("second")
        sabotage.release()
        record = RunDirectory(tmp_path / "run").record_file(frozen)
        wait_until(record.exists, "it is replaced", process)
        before = record.stat()
        os.killpg(dask.processes["first"].pid, signal.SIGCONT)
        ended(process, 0)
    first = dask.processes["first"]
    first.terminate()
    first.wait(timeout=PATIENCE)
    assert (record.stat().st_ino, record.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert json.loads(record.read_text())["worker"] == "second"
    assert studies.digests(tmp_path / "run") == undisturbed
    continued(tmp_path / "run")
    assert len(list(tmp_path.glob("run/members/*.json"))) == len(list(tmp_path.glob("run/members/*.npz")))
    assert not half_trained(tmp_path)


def test_a_killed_scheduler(tmp_path, dask, sabotage, undisturbed):
    """Fault 5: the command ends within 60 s, says how far it is, and goes on elsewhere to the same end."""
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        wait_until(lambda: trained(tmp_path), "a batch is trained", process)
        sabotage.hold()
        dask.processes["scheduler"].kill()
        err = ended(process, 4, seconds=60)
    dask.stop()
    sabotage.release()
    done = len(studies.digests(tmp_path / "run"))
    assert 2 <= done < TASKS
    assert f"error: lost the scheduler at {dask.address}\n" in err
    assert f"{done} of {TASKS} tasks are committed; the same command continues the run" in err
    continued(tmp_path / "run")
    assert studies.digests(tmp_path / "run") == undisturbed


def test_two_runs_on_one_scheduler(tmp_path, dask, sabotage, undisturbed):
    """Runs of one spec in two directories have the same tasks, and neither is taken for the other."""
    sabotage.hold()
    dask.worker("first")
    with (
        submitted(tmp_path, dask, sabotage) as process,
        submitted(tmp_path, dask, sabotage, "beside") as other,
    ):
        wait_until((tmp_path / "beside" / "plan.json").exists, "both are submitted", other)
        wait_until((tmp_path / "run" / "plan.json").exists, "both are submitted", process)
        sabotage.release()
        assert ended(process, 0) == ""
        assert ended(other, 0) == ""
    assert studies.digests(tmp_path / "run") == studies.digests(tmp_path / "beside") == undisturbed


def test_another_run_in_the_same_place(tmp_path, dask, sabotage):
    """A worker that has done a run does another one, made where the first was, by the second's plan."""
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        ended(process, 0)
    (tmp_path / "run").rename(tmp_path / "before")
    studies.write({**STUDY, "seed": 1}, tmp_path)
    command = ("run", "spec.yaml", "-o", "run", "--quiet", "--scheduler", dask.address)
    called(*command, cwd=tmp_path, code=0, **sabotage.environment)
    second = studies.digests(tmp_path / "run")
    assert second == studies.digests(studies.run({**STUDY, "seed": 1}, tmp_path / "here").path)
    assert second != studies.digests(tmp_path / "before")


FATAL = "setting0-round0-batch1-stage0-train"
SMALL = sabotaged.study(batches=2)
"""Two batches, of which the second is fatal."""


def fails_and_continues(folder: Path, sabotage: Sabotage, cluster_file: str) -> str:
    """What the command says of a stage that kills its workers; without what kills them it ends as if undisturbed."""
    studies.write(SMALL, folder)
    (folder / "cluster.yaml").write_text(cluster_file)
    command = ("run", "spec.yaml", "-o", "run", "--quiet", "--cluster", "cluster.yaml")
    err = called(*command, cwd=folder, code=4, **sabotage.environment)
    assert f"error: workers kept dying while they did {FATAL}, whose 2 member(s) are of: " in err
    assert '"x->h":["dense:tanh"]' in err
    assert "2 of 6 tasks are committed; the same command continues the run" in err  # a decision and the other batch
    assert [path.stem for path in trained(folder)] == ["setting0-round0-batch0-stage0-train"]
    sabotage.pardon()
    continued(folder / "run")
    assert studies.digests(folder / "run") == studies.digests(studies.run(SMALL, folder / "undisturbed").path)
    return err


def test_a_stage_that_kills_every_worker(tmp_path, sabotage):
    """Fault 2: given up after its budget, by name and with its candidates; what can be done is committed."""
    sabotage.kill_every("exit", FATAL)
    err = fails_and_continues(tmp_path, sabotage, "{type: local, workers: 2, deaths: 1}\n")
    assert err.count(f"was lost while it did {FATAL}") == 2  # one death is allowed, the second is too many


def test_too_little_memory(tmp_path, sabotage):
    """Fault 8: deaths are bounded; the message gives the forecast, the limit and a smaller batch to try."""
    sabotage.kill_every("memory", FATAL)
    err = fails_and_continues(tmp_path, sabotage, "{type: local, workers: 1, deaths: 0, memory_limit: 1GiB}\n")
    assert err.count(f"was lost while it did {FATAL}") == 1
    assert "forecast to take 1 MiB beside the program's own, and a worker may take 1,024 MiB in all" in err
    assert "try --set compute.members_per_batch=1" in err


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_random(tmp_path, sabotage, undisturbed, seed):
    """Fault 3: up to four workers end by exit, SIGTERM or a segmentation fault, at steps that the seed draws."""
    studies.write(STUDY, tmp_path)
    (tmp_path / "cluster.yaml").write_text("{type: local, workers: 2, deaths: 4}\n")
    sabotage.kill_some(seed, ["exit", "terminate", "segfault"], deaths=4)
    command = ("run", "spec.yaml", "-o", "run", "--quiet", "--cluster", "cluster.yaml")
    err = called(*command, cwd=tmp_path, code=0, **sabotage.environment)
    assert 2 <= len(sabotage.deaths) <= 4  # the last may come too late to get anything to do
    assert 1 <= err.count("was lost while it did") <= len(sabotage.deaths)
    assert studies.digests(tmp_path / "run") == undisturbed


def test_a_resource_that_nobody_offers(tmp_path, dask):
    """Fault 10: refused by name within 10 s of asking the scheduler (of an idle machine); nothing is written."""
    dask.worker("first")
    dask.wait_for("first")
    studies.write(STUDY, tmp_path)
    (tmp_path / "cluster.yaml").write_text(f"{{type: scheduler, address: '{dask.address}', resources: {{GPU: 1}}}}\n")
    slower = slowdown("validate", "spec.yaml", cwd=tmp_path)
    with started("run", "spec.yaml", "-o", "run", "--cluster", "cluster.yaml", cwd=tmp_path) as process:
        wait_until(lambda: "Receive client connection" in dask.log("scheduler").read_text(), "it asks", process)
        asked = time.monotonic()
        err = ended(process, 4)
    assert time.monotonic() - asked < 10 * slower
    assert "error: training needs 1 of the resource GPU, and the most that any of 1 worker(s) offers is 0" in err
    assert not (tmp_path / "run").exists()


def test_a_worker_with_other_versions(tmp_path, dask, sabotage):
    """Fault 17: torch, zarr and a plugin package of other versions are refused with a table, before training."""
    path = faked(tmp_path / "other", torch="2.0.0", zarr="3.0.0")
    older = tmp_path / "older"
    (older / "structflow_saboteur-0.9.dist-info").mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        text = (sabotaged.PACKAGE / "structflow_saboteur-1.0.dist-info" / name).read_text()
        (older / "structflow_saboteur-0.9.dist-info" / name).write_text(text.replace("Version: 1.0", "Version: 0.9"))
    paths = os.pathsep.join([str(older), path.partition(os.pathsep)[0], sabotage.environment["PYTHONPATH"]])
    worker = dask.worker("other", PYTHONPATH=paths)
    with submitted(tmp_path, dask, sabotage) as process:
        err = ended(process, 4)
    assert worker.poll() is None
    assert "error: workers have other versions than this process, and would compute other numbers:\n" in err
    rows = [line.partition(": ")[2] for line in err.splitlines() if line.startswith("  tcp://")]
    assert [row.partition(";")[0] for row in rows] == ["structflow-saboteur 0.9", "torch 2.0.0", "zarr 3.0.0"]
    assert all("; here " in row for row in rows)
    assert "install the same versions everywhere" in err
    assert not (tmp_path / "run").exists()


def test_a_worker_with_changed_code(tmp_path, dask, package, sabotage):
    """Fault 17: one more line in one module of structflow, whose version is the same, is told and refused."""
    sabotaged.change(package)
    worker = dask.worker("other", PYTHONPATH=path_with(package.parent, sabotaged.PACKAGE))
    with submitted(tmp_path, dask, sabotage) as process:
        err = ended(process, 4)
    assert worker.poll() is None
    rows = [line.partition(": ")[2] for line in err.splitlines() if line.startswith("  tcp://")]
    assert [row.split()[:2] for row in rows] == [["structflow's", "code"]]
    assert "restart workers where code has changed" in err
    assert not (tmp_path / "run").exists()


def test_a_worker_with_other_versions_joins_midway(tmp_path, dask, sabotage, undisturbed):
    """Fault 17: it is checked, too, and leaves before it does anything."""
    sabotage.hold()
    dask.worker("first")
    with submitted(tmp_path, dask, sabotage) as process:
        wait_until(lambda: half_trained(tmp_path), "the first worker trains", process)
        other = dask.worker(
            "other", PYTHONPATH=os.pathsep.join([faked(tmp_path / "other", zarr="3.0.0"), str(sabotaged.PACKAGE)])
        )
        wait_until(lambda: other.poll() is not None, "it leaves", process)
        sabotage.release()
        err = ended(process, 0)
    assert err.startswith("warning: worker other at tcp://127.0.0.1:")
    assert "has other versions than this process, and leaves without doing anything: zarr 3.0.0; here 3." in err
    assert len(err.splitlines()) == 1
    assert workers_of(tmp_path) == {"first"}
    assert studies.digests(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://192.0.2.1:8786"])
def test_nobody_answers(tmp_path, address):
    """Fault 22: of a scheduler elsewhere without TLS a warning is given, too; 192.0.2.1 is an address of nobody."""
    studies.write(studies.spec(), tmp_path)
    (tmp_path / "cluster.yaml").write_text(f"{{type: scheduler, address: '{address}', wait_seconds: 2}}\n")
    err = called("run", "spec.yaml", "-o", "run", "--cluster", "cluster.yaml", cwd=tmp_path, code=4)
    assert f"error: no scheduler answers at {address}: " in err
    assert (f"warning: the connection to {address} is not encrypted" in err) == ("192" in address)
    assert not (tmp_path / "run").exists()


def test_a_scheduler_without_workers(tmp_path, dask):
    studies.write(studies.spec(), tmp_path)
    (tmp_path / "cluster.yaml").write_text(f"{{type: scheduler, address: '{dask.address}', wait_seconds: 1}}\n")
    err = called("run", "spec.yaml", "-o", "run", "--cluster", "cluster.yaml", cwd=tmp_path, code=4)
    assert "error: no worker joined the scheduler within 1 s" in err
    assert not (tmp_path / "run").exists()
