"""Measures the constants of structflow/plan/cost.py, by which `compile: auto` decides, on this machine.

    python docs/benchmarks/cost.py

A training step of a batch is modelled as `functions × operations + values × seconds`, with one value for each row and
unit of every node; both numbers are fitted by relative least squares to steps of populations of many sizes, with few
and with many basis functions, interpreted and compiled, on one thread. The time of compilation is what the first call
of a program takes beyond the others, with an empty cache, for each basis function.
"""

from __future__ import annotations

import os
import tempfile
import time
from statistics import median
from typing import Any

os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="structflow-cost-")  # before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from population import PopulationTraining, spec

SIZES = (
    (1, 1, 20, 5), (1, 64, 50, 5), (1, 128, 404, 20), (1, 64, 404, 50), (1, 16, 2000, 50),
    (3, 6, 50, 5), (3, 60, 404, 10), (4, 32, 353, 5), (4, 32, 353, 20),
)  # fmt: skip
"""Activations to choose from, members, rows and width of the hidden node."""

ACTIVATIONS = ("tanh", "relu", "softplus", "sin")
STEPS = 60
REPEATS = 3


def document(activations: int, members: int, rows: int, width: int) -> dict[str, Any]:
    """The spec of `population.py`, with a choice of activations and, where there is one, of a skip connection."""
    found = spec(STEPS, members, rows, width)
    edges = found["model"]["edges"]
    edges[0] = {
        "from": "x", "to": "h", "choose": "one",
        "basis": [{"type": "dense", "activation": name} for name in ACTIVATIONS[:activations]],
    }  # fmt: skip
    if activations > 1:
        edges.append({"from": "x", "to": "y", "choose": "any", "basis": ["linear"]})
        found["optimizer"]["restarts"] = members // (2 * activations)
    return found


def step_seconds(activations: int, members: int, rows: int, width: int, compiled: bool) -> tuple[float, float]:
    """Seconds of a step, the median of some repeats, and of what the first call took beyond that."""
    population = PopulationTraining(document(activations, members, rows, width))
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
    functions = np.array([activations + (2 if activations > 1 else 1) for activations, *_ in SIZES], dtype=float)
    values = np.array(
        [members * rows * (width + (2 if activations > 1 else 1)) for activations, members, rows, width in SIZES]
    )
    print("functions members   rows  width   µs a step  first call")
    for name in ("eager", "compiled"):
        found = [step_seconds(*size, name == "compiled") for size in SIZES]
        steps, first = (np.array(column) for column in zip(*found, strict=True))
        for count, (_, members, rows, width), step, seconds in zip(functions, SIZES, steps, first, strict=True):
            print(f"{count:9.0f} {members:7} {rows:6} {width:6} {1e6 * step:11,.0f} {seconds:9.1f} s  {name}")
        design = np.stack([functions, values], axis=1) / steps[:, None]
        operations, each = np.linalg.lstsq(design, np.ones_like(steps), rcond=None)[0]
        print(
            f"{name}: {1e3 * operations:.2f} ms a step and function + {1e9 * each:.1f} ns a value; "
            f"first call {median(first / functions):.1f} s a function more"
        )


if __name__ == "__main__":
    main()
