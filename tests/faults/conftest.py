"""No test leaves a process behind."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sabotage import Sabotage

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
