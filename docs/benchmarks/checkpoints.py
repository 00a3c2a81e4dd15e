"""What checkpoints cost, and how much training a kill can lose.

One batch of 128 networks 13 → 50 → 1 on 404 rows, with one precision a weight, compiled. Run it with

    python docs/benchmarks/checkpoints.py [--repeats R] [--steps S] [--json]

Runs that write as many checkpoints as the rule allows (`compute.checkpoint_seconds: 0`) alternate with runs at
the default. Of each the share of the training task's time that went into writing is measured directly, since a
difference of two runs is noise of more than that; lost by a kill is at most what passes between two checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; before torch is loaded

import numpy as np

import structflow
from structflow.runner.interruption import TimedCheckpoints
from structflow.store.run_directory import RunDirectory

TASK = "setting0-round0-batch0-stage0-train"


def spec(steps: int, checkpoint_seconds: float) -> dict[str, Any]:
    """The study that is timed."""
    return {
        "data": {"source": "synthetic", "rows": 404, "inputs": 13, "formula": "tanh(x0) + x1", "noise": 0.5},
        "model": {
            "nodes": {"x": {}, "h": {"shape": [50]}, "y": {}},
            "edges": [
                {"from": "x", "to": "h", "basis": ["dense"]},
                {"from": "h", "to": "y", "basis": ["linear"]},
            ],
        },
        "prior": {"weights": {"precision": "per_parameter"}},
        "optimizer": {"inner": {"steps": steps}, "restarts": 128},
        "compute": {"compile": True, "checkpoint_seconds": checkpoint_seconds},
    }


class Writing:
    """Times of all checkpoints: when each was begun, and how long it took."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.took: list[float] = []
        self.save = TimedCheckpoints.save

    def __enter__(self) -> Writing:
        watch = self

        def timed(checkpoints: TimedCheckpoints, step: int, arrays: Mapping[str, np.ndarray]) -> None:
            watch.begun.append(time.perf_counter())
            watch.save(checkpoints, step, arrays)
            watch.took.append(time.perf_counter() - watch.begun[-1])

        TimedCheckpoints.save = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        TimedCheckpoints.save = self.save  # type: ignore[method-assign]


def run_once(steps: int, checkpoint_seconds: float) -> dict[str, float]:
    """The share of the training task that was spent writing, and the longest time between two checkpoints."""
    with tempfile.TemporaryDirectory(prefix="structflow-") as folder, Writing() as writing:
        path = Path(folder) / "run"
        structflow.run(spec(steps, checkpoint_seconds), path)
        seconds = RunDirectory(path).record(TASK).seconds
    assert seconds is not None
    return {
        "seconds": seconds,
        "checkpoints": len(writing.took),
        "share": sum(writing.took) / seconds,
        "longest": max(np.diff(writing.begun), default=seconds),
    }


def measure(repeats: int, steps: int) -> dict[str, list[dict[str, float]]]:
    """Both kinds of runs, alternating, after one that compiles."""
    run_once(200, 0)
    found: dict[str, list[dict[str, float]]] = {"often": [], "default": []}
    for _ in range(repeats):
        found["often"].append(run_once(steps, 0))
        found["default"].append(run_once(steps, 60))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.repeats, arguments.steps)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, runs in found.items():
        print(
            f"{name}: {median(run['seconds'] for run in runs):.1f} s, "
            f"{median(run['checkpoints'] for run in runs):g} checkpoints, "
            f"{100 * max(run['share'] for run in runs):.2f} % of the time at most, "
            f"{max(run['longest'] for run in runs):.1f} s between two at most"
        )


if __name__ == "__main__":
    main()
