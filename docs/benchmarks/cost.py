"""Measures the constants of structflow/plan/cost.py, by which `compile: auto` decides, on this machine.

    python docs/benchmarks/cost.py

A training step of a batch is modelled as `overhead + values × seconds`, with one value for each row and unit of every
node; both numbers are fitted by relative least squares to steps of populations of many sizes, interpreted and
compiled, on one thread. The time of compilation is that of the first call of a program with an empty cache.
"""

from __future__ import annotations

import os
import tempfile
import time
from statistics import median

os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="structflow-cost-")  # before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from population import PopulationTraining, spec

SIZES = (
    (1, 20, 5),
    (8, 50, 5),
    (64, 50, 5),
    (32, 200, 20),
    (128, 404, 20),
    (8, 404, 50),
    (64, 404, 50),
    (16, 2000, 50),
)
"""Members, rows and width of the hidden node."""

STEPS = 60
REPEATS = 3


def step_seconds(members: int, rows: int, width: int, compiled: bool) -> tuple[float, float]:
    """Seconds of a step, the median of some repeats, and of what the first call took beyond that."""
    population = PopulationTraining(spec(STEPS, members, rows, width))
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        population(compiled)
        seconds.append(time.perf_counter() - started)
    typical = median(seconds[1:])
    return typical / STEPS, seconds[0] - typical


def main() -> None:
    """Measure, fit and print."""
    torch.set_num_threads(1)
    values = np.array([members * rows * (width + 1) for members, rows, width in SIZES], dtype=float)
    print("members   rows  width   µs a step")
    for compiled in (False, True):
        found = [step_seconds(*size, compiled) for size in SIZES]
        steps = np.array([step for step, _ in found])
        for (members, rows, width), step in zip(SIZES, steps, strict=True):
            print(f"{members:7} {rows:6} {width:6} {1e6 * step:11,.0f}  {'compiled' if compiled else 'eager'}")
        design = np.stack([np.ones_like(values), values], axis=1) / steps[:, None]
        overhead, each = np.linalg.lstsq(design, np.ones_like(steps), rcond=None)[0]
        first = median(first for _, first in found)
        name = "compiled" if compiled else "eager"
        print(f"{name}: {1e3 * overhead:.2f} ms a step + {1e9 * each:.1f} ns a value; first call {first:.1f} s more")


if __name__ == "__main__":
    main()
