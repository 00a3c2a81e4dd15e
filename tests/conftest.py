"""What every test shares: one thread, so that tests beside each other don't fight for cores; and the command line."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # for runs in this process and for commands in processes of their own
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from called import Cli, call_main

torch.set_num_threads(1)
hypothesis.settings.register_profile("untimed", deadline=None)  # machines are shared: no example fails for its time
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Calls happen in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return call_main
