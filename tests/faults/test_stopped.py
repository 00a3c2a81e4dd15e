"""Processes that are stopped or killed: what they had done is kept, and the end is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sabotage as sabotaged
import studies
from clusters import called, continued, ended, started, wait_until

from structflow.store.run_directory import RunDirectory

STUDY = sabotaged.study(batches=2)
"""Two batches: a decision, two to train and to evaluate, a selection."""

RUN = ("run", "spec.yaml", "-o", "run", "--quiet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    studies.run(STUDY, folder / "run")
    return everything(folder)


def everything(folder: Path) -> dict[str, str]:
    """Digests of all records and of the results that are made from them."""
    return {**studies.digests(folder / "run"), **studies.result_digests(folder / "run")}


def half_trained(folder: Path) -> set[str]:
    return {path.parent.parent.name for path in folder.glob("run/checkpoints/*/*/step-*")}


def newest_step(folder: Path) -> int:
    return max((int(path.stem.partition("-")[2]) for path in folder.glob("run/checkpoints/*/*/step-*")), default=0)


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Of every record which file it is, and when that was written."""
    found = {path.stem: path.stat() for path in folder.glob("run/records/*.json")}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in found.items()}


def continues(folder: Path, undisturbed: dict[str, str]) -> None:
    """The same command ends with what an undisturbed run has; nothing that was committed is done again."""
    before = states(folder)
    continued(folder / "run")
    after = states(folder)
    assert {name: after[name] for name in before} == before
    assert everything(folder) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_between_steps(tmp_path, sabotage, undisturbed, number, code):
    """Faults 4 and 6: the last step before a signal to end is kept, and the same command goes on from it."""
    studies.write(STUDY, tmp_path)
    sabotage.hold()
    with started(*RUN, cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "it waits between two steps", process)
        by_the_clock = newest_step(tmp_path)
        assert by_the_clock > 0
        process.send_signal(number)
        sabotage.release()
        err = ended(process, code)
    assert ("the same command continues the run" in err) == (code > 0)
    assert (newest_step(tmp_path) > by_the_clock) == (code > 0)
    assert not list(tmp_path.glob("run/records/*-train.json"))
    continues(tmp_path, undisturbed)
    assert not list(tmp_path.glob("run/checkpoints/*"))


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times", "code"), [(signal.SIGINT, 1, 130), (signal.SIGTERM, 40, 143)])
def test_stopped_while_it_compiles(tmp_path, number, times, code):
    """Fault 6: one Ctrl-C was swallowed and the run went on; of a storm of SIGTERM the process died in C++ (134)."""
    document = {**STUDY, "compute": {"compile": True, "members_per_batch": 1}}
    studies.write(document, tmp_path)
    cache = tmp_path / "cache"
    with started(*RUN, cwd=tmp_path, TORCHINDUCTOR_CACHE_DIR=str(cache)) as process:
        wait_until(lambda: any(cache.rglob("*.py")), "it compiles", process)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.02)
        err = ended(process, code)
    assert "ending after what is being computed now" in err
    assert "the same command continues the run" in err
    assert not list(tmp_path.glob("run/records/*-train.json"))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "moment", "count"),
    [
        ("SIGKILL", "start", 1),
        ("SIGKILL", "write", 1),
        ("SIGKILL", "chunk", 1),
        ("SIGKILL", "link", 3),
        ("SIGKILL", "linked", 2),
        ("SIGTERM", "chunk", 1),
        ("SIGINT", "chunk", 1),
        ("SIGTERM", "link", 3),
    ],
)
def test_stopped_while_it_writes(tmp_path, sabotage, undisturbed, name, moment, count):
    """Faults 4 and 6: before a write, in the middle of one, before and after a commit, and when a run is opened."""
    studies.write(STUDY, tmp_path)
    script = Path(__file__).with_name("signalled.py")
    done = subprocess.run(
        [sys.executable, script, name, moment, str(count), *RUN], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, **sabotage.environment}, timeout=300, preexec_fn=studies.hear_interrupts,
    )  # fmt: skip
    killed = -signal.SIGXFSZ if moment == "chunk" else -signal.SIGKILL
    assert done.returncode == {"SIGKILL": killed, "SIGTERM": 143, "SIGINT": 130}[name], done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    committed = len(states(tmp_path))
    # decide has no members; the third commit is that of the second batch
    assert committed == {"start": 0, "write": 1, "chunk": 1, "link": 2, "linked": 2}[moment]
    if moment == "chunk" and name == "SIGKILL":
        assert 3 in {path.stat().st_size for path in tmp_path.glob("run/members/.*")}
    continues(tmp_path, undisturbed)
    stored = list(tmp_path.glob("run/members/[!.]*.npz"))
    assert len({path.name.partition(".")[0] for path in stored}) == len(list(tmp_path.glob("run/members/*.json"))) == 2


@pytest.mark.faults
def test_a_second_driver_is_refused(tmp_path, sabotage, undisturbed):
    """Fault 15: the second says who holds the run; after the first is killed, nothing has to be unlocked."""
    studies.write(STUDY, tmp_path)
    sabotage.hold()
    with started(*RUN, cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: half_trained(tmp_path), "the first trains", process)
        err = called(*RUN, cwd=tmp_path, code=3, **sabotage.environment)
        assert f"is being carried out by process {process.pid} on {os.uname().nodename}; wait for it" in err
        process.kill()
        process.communicate()
    sabotage.release()
    continues(tmp_path, undisturbed)


@pytest.mark.faults
def test_a_pickle_in_place_of_a_checkpoint(tmp_path, sabotage, undisturbed):
    """Fault 21: a run is continued where somebody put files of torch.save as checkpoints; nothing in them runs."""
    import torch

    studies.write(STUDY, tmp_path)
    sabotage.hold()
    with started(*RUN, cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: half_trained(tmp_path), "a checkpoint is there", process)
        process.kill()
        process.communicate()
    sabotage.release()
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return Path.touch, (ran,)

    (task,) = half_trained(tmp_path)
    (folder,) = (RunDirectory(tmp_path / "run").path / "checkpoints" / task).iterdir()
    torch.save({"state": Trap()}, folder / "step-999999999998.npz")
    np.savez(folder / "step-999999999999.npz", state=np.array([Trap()], dtype=object))
    continues(tmp_path, undisturbed)
    assert not ran.exists()
