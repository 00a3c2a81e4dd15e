"""Processes that are stopped or killed while they train: what they had done is kept, and the end is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import studies

STUDY = studies.spec(
    optimizer={"inner": {"steps": 4000}, "restarts": 2}, compute={"compile": False, "checkpoint_seconds": 0.2}
)
"""One batch that trains for several seconds."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    studies.run(STUDY, folder / "run")
    return studies.digests(folder / "run")


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    studies.write(STUDY, folder)
    return subprocess.Popen(
        studies.command("run", "spec.yaml", "-o", "run", "--quiet", *arguments), cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ}, start_new_session=True,
    )  # fmt: skip


def wait_for_a_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob("run/checkpoints/*/step-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def newest_step(folder: Path) -> int:
    return max(int(path.name.partition("-")[2]) for path in folder.glob("run/checkpoints/*/step-*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_between_steps(tmp_path, undisturbed, number, code):
    """Faults 4 and 6: a checkpoint is there, and the same command goes on from it to the very same records."""
    process = started(tmp_path)
    wait_for_a_checkpoint(tmp_path, process)
    before = newest_step(tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not list(tmp_path.glob("run/records/*-train.json"))
    kept = newest_step(tmp_path)
    assert kept >= before
    if code > 0:
        assert "the same command continues the run" in err
    continued = started(tmp_path)
    _, err = continued.communicate(timeout=120)
    assert continued.returncode == 0, err
    assert studies.digests(tmp_path / "run") == undisturbed
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_a_stopped_process_loses_no_step(tmp_path):
    """SIGTERM writes a checkpoint of its own, beyond the last one by the clock."""
    process = started(tmp_path)
    wait_for_a_checkpoint(tmp_path, process)
    by_the_clock = newest_step(tmp_path)
    time.sleep(0.1)  # within the interval
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert newest_step(tmp_path) > by_the_clock


def test_a_second_driver_is_refused(tmp_path):
    """Fault 15: the second says who holds the run; after the first is killed, nothing has to be unlocked."""
    process = started(tmp_path)
    wait_for_a_checkpoint(tmp_path, process)
    second = studies.call("run", "spec.yaml", "-o", "run", "--quiet", cwd=tmp_path)
    assert second.returncode == 3
    assert f"is being carried out by process {process.pid} on {os.uname().nodename}" in second.stderr
    process.kill()
    process.communicate()
    third = studies.call("run", "spec.yaml", "-o", "run", "--quiet", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
