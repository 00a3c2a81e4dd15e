"""A real scheduler and real workers, started with the ordinary dask commands, each in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "12s"}


@dataclass
class DaskCluster:
    """Processes in one folder; `address` is the scheduler's."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    address: str = ""

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `dask ARGUMENTS`; its output goes to a file of that name."""
        log = (self.folder / f"{name}.log").open("w")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=self.folder, stdout=log, stderr=log, text=True,
            env={**os.environ, **ENVIRONMENT, **self.environment, **environment}, start_new_session=True,
        )  # fmt: skip
        return self.processes[name]

    def scheduler(self, *arguments: str) -> None:
        """Start the scheduler on a free port and wait until it answers."""
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self.start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", *arguments)
        wait_until(lambda: answers(port), "the scheduler answers")

    def worker(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a worker without a nanny, so that whoever kills it kills the process that works."""
        return self.start(
            name, "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name,
            *arguments, **environment,
        )  # fmt: skip

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.02)
