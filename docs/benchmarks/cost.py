"""Measures the constants of structflow/plan/cost.py, by which plans forecast time and `compile: auto` decides.

    python docs/benchmarks/cost.py [--store FILE]     # measure a grid of sizes, fit, and keep both
    python docs/benchmarks/cost.py --fit FILE         # fit what was measured before

A training step of a batch is modelled as a sum of five parts, each a constant times a count: the step itself, the
tensor operations of its functions, the numbers that these make, the multiplications of matrix products, and the weights
of all members. The constants are fitted by relative least squares, none below 0, to steps of populations of many sizes
on one thread: one and two hidden layers, one and several functions on an edge, few and many members, rows, samples and
units, interpreted and compiled. Times are those of the processor, so that other work on the machine counts little. The
time of compilation is what the first call of a program takes beyond the others, with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="structflow-cost-")  # before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["OMP_NUM_THREADS"] = os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"

import numpy as np
import torch
from population import PopulationTraining, spec
from scipy.optimize import nnls

from structflow.plan.cost import StepWork, batch_work
from structflow.spec.load import study_from_mapping

STORED = Path(__file__).with_name("cost.json")
SECONDS = 1.0
"""About how long a population is trained for one measurement."""
REPEATS = 3


@dataclass(frozen=True)
class Size:
    """One population: hidden `layers`, `functions` to choose from on the first edge, members, rows and samples."""

    layers: tuple[int, ...]
    functions: int
    members: int
    rows: int
    samples: int = 1


GRID = tuple(
    Size(*each)
    for each in (
        ((5,), 1, 1, 20), ((20,), 1, 8, 50), ((5,), 1, 64, 50), ((20,), 1, 128, 404), ((50,), 1, 64, 404),
        ((50,), 1, 16, 2000), ((5,), 3, 6, 50), ((10,), 3, 60, 404), ((20,), 4, 32, 353), ((50,), 1, 8, 404, 8),
        ((20, 20), 1, 32, 404), ((50, 50), 1, 8, 404), ((50, 50), 1, 64, 404), ((100, 100), 1, 4, 404),
        ((50, 50), 3, 24, 200), ((20, 20), 3, 48, 100, 3), ((200,), 1, 8, 1000), ((200, 200), 1, 2, 1000),
    )
)  # fmt: skip
ACTIVATIONS = ("tanh", "relu", "softplus", "sin")


def document(size: Size) -> dict[str, Any]:
    """The spec of `population.py` with these layers, and a choice of activations on the first edge."""
    found = spec(1, size.members // size.functions, size.rows)
    names = ["x", *(f"h{number}" for number in range(len(size.layers))), "y"]
    hidden = {name: {"shape": [width]} for name, width in zip(names[1:-1], size.layers, strict=True)}
    found["model"]["nodes"] = {"x": {}, **hidden, "y": {}}
    basis = [[{"type": "dense", "activation": name} for name in ACTIVATIONS[: size.functions]]]
    basis += [[{"type": "dense", "activation": "tanh"}] for _ in size.layers[1:]] + [["linear"]]
    found["model"]["edges"] = [
        {"from": source, "to": target, "choose": "one", "basis": candidates}
        for source, target, candidates in zip(names, names[1:], basis, strict=False)
    ]
    found["optimizer"]["inner"]["samples"] = size.samples
    return found


def work_of(size: Size) -> StepWork:
    """What the model counts of a step of this population."""
    study = study_from_mapping(document(size), Path.cwd())
    return batch_work(study.graph, study.settings[0].stages[0], size.rows, size.members, relaxed=False)


def processor_seconds() -> float:
    """What this process and the compilers that it called have taken of the processor so far."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def seconds_of(size: Size, compiled: bool) -> tuple[float, float]:
    """Processor seconds of a step, the median of some repeats, and of what the first call took beyond that."""

    def training(steps: int) -> float:
        changed = document(size)
        changed["optimizer"]["inner"]["steps"] = steps
        population = PopulationTraining(changed, samples=size.samples)
        started = processor_seconds()
        population(compiled)
        return processor_seconds() - started

    short = 4
    first = training(short)
    once = training(short)  # with what a stage does once: its measure of convergence takes longer than so few steps
    again = training(2 * short)
    steps = max(20, min(1000, int(SECONDS / max((again - once) / short, 1e-5))))
    typical = median(training(short + steps) - training(short) for _ in range(REPEATS)) / steps
    return max(typical, 1e-6), max(0.0, first - once)


def measure() -> list[dict[str, Any]]:
    """The grid with its counts and times."""
    rows = []
    for size in GRID:
        for mode in ("eager", "compiled"):
            step, first = seconds_of(size, mode == "compiled")
            rows.append({"size": asdict(size), "mode": mode, "step": step, "first": first})
            print(f"{size}  {mode:8} {1e6 * step:12,.0f} µs a step, first call {first:5.1f} s", flush=True)
    return rows


def fit(rows: list[dict[str, Any]]) -> None:
    """Print the constants that fit best, and how far each size is from them."""
    for mode in ("eager", "compiled"):
        chosen = [row for row in rows if row["mode"] == mode]
        works = [work_of(Size(**{**row["size"], "layers": tuple(row["size"]["layers"])})) for row in chosen]
        steps = np.array([row["step"] for row in chosen])
        counts = np.array([work.counts for work in works], dtype=float)
        found, _ = nnls(counts / steps[:, None], np.ones_like(steps))
        first = np.array([row["first"] for row in chosen])
        operations = np.array([[1.0, work.operations] for work in works])
        compilation, _ = nnls(operations / np.maximum(first, 0.1)[:, None], np.ones_like(first))
        print(f"{mode}: step, operation, number, multiplication, weight:", ", ".join(f"{value:.3g}" for value in found))
        print(f"  first call: {compilation[0]:.2f} s + {compilation[1]:.3f} s an operation")
        for row, ratio in zip(chosen, counts @ found / steps, strict=True):
            print(f"  {row['size']}: {1e6 * row['step']:,.0f} µs, forecast / measured {ratio:.2f}")


def main() -> None:
    """Measure and fit, or fit what is stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=STORED)
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fit is not None:
        fit(json.loads(options.fit.read_text()))
        return
    rows = measure()
    options.store.write_text(json.dumps(rows, indent=1) + "\n")
    fit(rows)


if __name__ == "__main__":
    main()
