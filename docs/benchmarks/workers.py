"""How much faster two worker processes are than one, with one thread each.

Twelve batches of 32 networks 13 → 50 → 1 (tanh or relu, as many of each), compiled, on minibatches of 64 of 404
rows or on all of them: what a step works on then fits into the caches of a core, or doesn't. Run it with

    python docs/benchmarks/workers.py [--all-rows] [--repeats R] [--seconds S] [--json]

A first run fills the compiler's cache and says how many steps one worker does in about S seconds. Then runs with
one and with two workers alternate, each a command of its own in an empty directory. What counts is the time from the
first task to the last, which includes that every worker loads its programs; the start of processes is shown apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml

BATCHES, MEMBERS = 12, 32
MINIBATCH = 64
FIRST_STEPS = 2000


def spec(steps: int, batch_size: int | None) -> dict[str, Any]:
    """The study that is timed; None for steps that take all rows."""
    functions = [{"type": "dense", "activation": name} for name in ("tanh", "relu")]
    return {
        "name": "workers",
        "data": {"source": "synthetic", "rows": 404, "inputs": 13, "formula": "tanh(x0) + x1", "noise": 0.5},
        "model": {
            "nodes": {"x": {}, "h": {"shape": [50]}, "y": {}},
            "edges": [{"from": "x", "to": "h", "basis": functions}, {"from": "h", "to": "y", "basis": ["linear"]}],
        },
        "optimizer": {"inner": {"steps": steps, "batch_size": batch_size}, "restarts": BATCHES * MEMBERS // 2},
        "compute": {"compile": True, "members_per_batch": MEMBERS},
    }


def seconds_of(steps: int, batch_size: int | None, workers: int) -> tuple[float, float]:
    """Seconds from the first task to the last, and of the whole command."""
    with tempfile.TemporaryDirectory(prefix="structflow-") as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(yaml.safe_dump(spec(steps, batch_size)), encoding="utf-8")
        command = [Path(sys.executable).with_name("structflow"), "run", path, "-o", Path(folder) / "run", "--quiet"]
        started = time.perf_counter()
        subprocess.run(
            [*map(str, command), "--workers", str(workers)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        whole = time.perf_counter() - started
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text(encoding="utf-8"))
    return float(summary["seconds"]), whole


def measure(repeats: int, wanted: float, batch_size: int | None) -> dict[str, Any]:
    """The seconds of all runs, and the ratios of their pairs."""
    seconds_of(FIRST_STEPS, batch_size, 1)
    seconds, _ = seconds_of(FIRST_STEPS, batch_size, 1)
    steps = max(FIRST_STEPS, round(FIRST_STEPS * wanted / seconds))
    pairs = [(seconds_of(steps, batch_size, 1), seconds_of(steps, batch_size, 2)) for _ in range(repeats)]
    return {
        "steps": steps,
        "one": [one[0] for one, _ in pairs],
        "two": [two[0] for _, two in pairs],
        "starting": [whole - seconds for pair in pairs for seconds, whole in pair],
        "ratios": [one[0] / two[0] for one, two in pairs],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all-rows", action="store_true", help="no minibatches")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0, help="of a run with one worker")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.repeats, arguments.seconds, None if arguments.all_rows else MINIBATCH)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{BATCHES} batches of {MEMBERS} members, {found['steps']:,} steps, one thread a worker")
    print(f"one worker:  {median(found['one']):.1f} s (median of {len(found['one'])})")
    print(f"two workers: {median(found['two']):.1f} s")
    shown = ", ".join(f"{ratio:.2f}" for ratio in sorted(found["ratios"]))
    print(f"throughput of two in that of one: {median(found['ratios']):.2f} (all: {shown})")
    print(f"processes start and end in {median(found['starting']):.1f} s beside that")


if __name__ == "__main__":
    main()
