"""How signals end a command: one by an exception, a storm no sooner, a later one at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from structflow.store.names import PLAN

SCRIPT = """
import os, signal, sys, time
from structflow.cli import signals
from pathlib import Path
from structflow import cli
number, later = int(sys.argv[1]), sys.argv[2] == "later"
if later:
    cli.note_run_path(Path(sys.argv[3]))
sys.argv = ["structflow", "run", "spec.yaml"]
signal.signal(signal.SIGINT, signal.default_int_handler)
signals.STORM = 0.2
signals.end_on_signals()
try:
    signal.raise_signal(number)
except BaseException as error:
    print(type(error).__name__, getattr(error, "code", None))
    for _ in range(20):
        signal.raise_signal(number)
    if later:
        time.sleep(0.3)
        signal.raise_signal(number)
    print("closed")
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
@pytest.mark.parametrize("moment", ["now", "later"])
def test_signals_while_things_are_closed(number, word, moment, tmp_path):
    """What is open is closed through a storm. A signal that comes later doesn't wait for it."""
    (tmp_path / PLAN).touch()
    script = [sys.executable, "-c", SCRIPT, str(int(number)), moment, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    at_once = f"{word} at once; the same command continues the run"
    assert (at_once in done.stderr) == (moment == "later")
    assert done.returncode == (128 + number if moment == "later" else 0)
    first = f"SystemExit {128 + number}" if number == signal.SIGTERM else "KeyboardInterrupt None"
    assert (f"{first}\nclosed\n" == done.stdout) == (moment == "now")
