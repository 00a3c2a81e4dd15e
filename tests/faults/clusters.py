"""A real scheduler and real workers, started with the ordinary dask commands, each in a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import studies
from called import call_main
from sabotage import path_with

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s"}
"""A worker counts as lost after 20 s without a sign of life: long enough for a busy machine."""

PATIENCE = 240
"""Seconds to wait for anything; on an idle machine it takes a few."""

MOST_LINES = 12
"""Lines that a command may write where things go wrong: a screen, no flood."""


@dataclass
class DaskCluster:
    """Processes in one folder; `address` is the scheduler's."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    address: str = ""

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `dask ARGUMENTS`; its output goes to a file of that name."""
        with self.log(name).open("w") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments], cwd=self.folder, stdout=log, stderr=log, text=True,
                env={**os.environ, **ENVIRONMENT, **self.environment, **environment}, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def scheduler(self) -> None:
        """Start the scheduler on a free port and wait until it answers."""
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        process = self.start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        wait_until(lambda: answers(port), "the scheduler answers", process)

    def worker(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a worker without a nanny, so that whoever kills it kills the process that works."""
        return self.start(
            name, "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name,
            "--preload", "structflow.runner.run_task", *arguments, **environment,
        )  # fmt: skip

    def wait_for(self, name: str) -> None:
        """Return once a worker has joined."""
        wait_until(lambda: "Registered to" in self.log(name).read_text(), f"{name} joins", self.processes[name])

    def log(self, name: str) -> Path:
        """What a process wrote."""
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """End every process that still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(folder: Path, **environment: str) -> Iterator[DaskCluster]:
    """A scheduler without workers, ended with the test."""
    folder.mkdir(exist_ok=True)
    made = DaskCluster(folder, environment)
    try:
        made.scheduler()
        yield made
    finally:
        made.stop()


@contextmanager
def started(*arguments: object, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command of structflow in a session of its own, ended with the test."""
    process = subprocess.Popen(
        studies.command(*arguments), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment}, start_new_session=True, preexec_fn=studies.hear_interrupts,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(process: subprocess.Popen[str], code: int, seconds: float = PATIENCE) -> str:
    """What a command wrote to standard error once it has ended with this code: a few lines, no traceback."""
    out, err = process.communicate(timeout=seconds)
    return checked(process.returncode, code, out, err)


def called(*arguments: object, cwd: Path, code: int, **environment: str) -> str:
    """The same of a command that is waited for."""
    done = studies.call(*arguments, cwd=cwd, **environment)
    return checked(done.returncode, code, done.stdout, done.stderr)


def slowdown(*arguments: object, cwd: Path) -> float:
    """How many times longer than on an idle machine a command takes, one that only computes: time over time of CPU."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    assert studies.call(*arguments, cwd=cwd).returncode == 0
    after, taken = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    return max(1.0, taken / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def continued(run: Path) -> None:
    """The same command as before, now in this process, ends well; what it leaves is intact, and then without leftovers.

    The spec is beside the run directory.
    """
    done = call_main("run", run.parent / "spec.yaml", "-o", run, "--quiet")
    assert checked(done.code, 0, done.out, done.err) == ""
    assert call_main("verify", run).out == f"{run} is intact\n"
    assert call_main("gc", run).code == 0
    assert call_main("gc", run, "--dry-run").out == "nothing to remove\n"


def checked(found: int, code: int, out: str, err: str) -> str:
    """Standard error, where the code is right, and neither a flood nor a traceback was written."""
    assert found == code, err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= MOST_LINES, err
    assert out == ""
    return err


def faked(folder: Path, **versions: str) -> str:
    """PYTHONPATH with which packages seem to have these versions."""
    for name, version in versions.items():
        metadata = folder / f"{name}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        )
    return path_with(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    condition: Callable[[], object],
    what: str,
    process: subprocess.Popen[str] | None = None,
    seconds: float = PATIENCE,
) -> None:
    """Return once a condition holds; fails where a process that has to run meanwhile has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, f"the process ended before {what}: {process.communicate()}"
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.02)
