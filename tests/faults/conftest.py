"""What tests of faults share: a finished run to damage, processes to kill; and no test leaves a process behind."""

from __future__ import annotations

import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import studies
from clusters import DaskCluster, cluster
from sabotage import Sabotage

import structflow

MARK = "STRUCTFLOW_TEST"
PATIENCE = 30
"""Seconds in which processes that were told to end have to be gone."""


@pytest.fixture(autouse=True)
def no_orphans(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every process that a test starts inherits a mark; after the test none that has it may be there."""
    if not Path("/proc/self/environ").exists():
        yield
        return
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield
    deadline = time.monotonic() + PATIENCE
    while (orphans := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in orphans:
        os.kill(process, signal.SIGKILL)
    assert not orphans, f"processes {orphans} were still there {PATIENCE} s after the test"


def marked(mark: str) -> list[int]:
    """Processes with the mark in their environment; this one has it not, since it was started before."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


@pytest.fixture
def sabotage(tmp_path: Path) -> Sabotage:
    """Orders for the processes of a test."""
    folder = tmp_path / "orders"
    folder.mkdir()
    return Sabotage(folder)


@pytest.fixture
def dask(tmp_path: Path, sabotage: Sabotage) -> Iterator[DaskCluster]:
    """A scheduler to which the test adds workers."""
    with cluster(tmp_path / "dask", **sabotage.environment) as made:
        yield made


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of structflow's sources, which a test may change."""
    copy = tmp_path / "copied" / "structflow"
    shutil.copytree(Path(structflow.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The finished run of a module's `SPEC`, for all its tests: to be read alone."""
    folder = tmp_path_factory.mktemp("finished")
    studies.run(request.module.SPEC, folder / "run")
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may damage."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"
