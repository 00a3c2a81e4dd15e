"""The speed that the population exists for, by the command that docs/benchmarks.md shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "benchmarks" / "population.py"


def measured(*options: str) -> dict:
    called = subprocess.run(
        [sys.executable, str(PROGRAM), "--json", *options], capture_output=True, text=True, check=True
    )
    return json.loads(called.stdout)


@pytest.mark.slow
def test_at_least_eight_times_a_plain_loop():
    """Member-steps a second of 128 compiled members beside a plain torch loop, compilation not counted."""
    found = measured("--threads", "1", "--repeats", "5", "--steps", "200")
    assert found["ratio"]["compiled"] >= 8
    # both did the same job: the bounds that they reach after 200 steps from one start differ little
    assert found["last_bound"]["compiled"] == pytest.approx(found["last_bound"]["loop"], rel=0.05)
    assert found["last_bound"]["eager"] == pytest.approx(found["last_bound"]["compiled"], rel=1e-4)
