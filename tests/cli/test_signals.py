"""How signals end a command: one by an exception, a storm no sooner, a later one at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, time
from structflow.cli import signals
number, later = int(sys.argv[1]), sys.argv[2] == "later"
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
def test_signals_while_things_are_closed(number, word, moment):
    """What is open is closed through a storm. A signal that comes later doesn't wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(number)), moment], capture_output=True, text=True, timeout=60
    )
    at_once = f"{word} at once; the same command continues the run"
    assert (at_once in done.stderr) == (moment == "later")
    assert done.returncode == (128 + number if moment == "later" else 0)
    first = f"SystemExit {128 + number}" if number == signal.SIGTERM else "KeyboardInterrupt None"
    assert (f"{first}\nclosed\n" == done.stdout) == (moment == "now")
