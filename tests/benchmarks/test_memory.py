"""Memory is that of one batch: more members in batches of the same size take no more of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import studies

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process from /proc")

PROGRAM = """
import json, sys
import structflow, structflow.evidence.trained as trained, structflow.runner.run_task as run_task
run_task.keep_large_blocks = lambda: False  # blocks that are kept for reuse hide what is in use
trained.CHUNK_NUMBERS = 1  # evaluate one sample at a time, so that the peak is that of training
structflow.run(json.loads(sys.argv[1]), sys.argv[2])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


RETURN_FREED_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""Has glibc give blocks of a megabyte back when they are freed: fragmentation made peaks differ by 100 MiB."""


def peak(folder, members: int, per_batch: int) -> float:
    """Peak memory in MiB of a process that trains members with half a million values of the hidden node each."""
    document = studies.spec(
        data={"source": "synthetic", "rows": 10_000, "inputs": 2, "formula": "tanh(x0)", "noise": 0.2},
        model=studies.model([{"from": "x", "to": "h", "basis": ["dense"]}, studies.LAST], h={"shape": [50]}),
        optimizer={"inner": {"steps": 2}, "restarts": members},
        evidence={"samples": 2},
        compute={"compile": False, "members_per_batch": per_batch},
    )
    called = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(document), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **RETURN_FREED_BLOCKS},
    )
    return float(called.stdout.splitlines()[-1])


@pytest.mark.thorough
def test_members_beyond_a_batch_take_no_memory(tmp_path):
    """Twelve members in batches of 3 beside 3 members, and all twelve at once to see what the nine would take.

    At once they hold at least a value, its slope and its square for each row and unit of the hidden node.
    """
    few = peak(tmp_path / "few", 3, 3)
    many = peak(tmp_path / "many", 12, 3)
    together = peak(tmp_path / "together", 12, 12)
    assert together - few > 9 * 3 * (10_000 * 50 * 4 / 2**20)
    assert many - few < 0.15 * (together - few)
