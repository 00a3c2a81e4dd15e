"""What a hypergradient costs in steps of θ, with 10,000 hyperparameters.

One network 98 → 100 → 1 with tanh on 404 rows has 10,001 weights, each with a precision of its own: 10,001
hyperparameters and 20,003 numbers of θ. float32, one sample a step, all rows at every step. Run it with

    python docs/benchmarks/hypergradients.py [--threads N] [--repeats R] [--steps S] [--json] [--only METHOD ...]

Each repeat times, in one process and one after the other, training with h held (the plain step) and training with each
method. Tracing and compilation are done before and not counted. A step with a method is a step of θ with its share of
the step of h; a hypergradient is what training with the method takes beyond the plain steps, for each step of h. Both
are ratios to the plain step, medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; before torch is loaded

import torch

from structflow.plan.batching import make_batches
from structflow.plan.plan import make_plan
from structflow.plugins import Candidate
from structflow.runner.allocator import keep_large_blocks
from structflow.runner.context import RunContext
from structflow.runner.train import outer_level
from structflow.spec.load import study_from_mapping
from structflow.store.run_directory import RunDirectory
from structflow.train.inner_method import inner_method
from structflow.train.metaparameters import metaparameter_tables
from structflow.train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from structflow.train.trainer import train

EVERY = 20
METHODS: dict[str, tuple[dict[str, Any], Literal["adam", "sgd"]]] = {
    "plain": ({"type": "random_search"}, "adam"),
    "greedy": ({"type": "greedy"}, "adam"),
    "first_order": ({"type": "first_order", "every": 1, "samples": 1}, "adam"),
    "hoag": ({"type": "hoag", "every": EVERY, "samples": 1, "iterations": 20}, "adam"),
    "plain, sgd": ({"type": "random_search"}, "sgd"),
    "greedy, sgd": ({"type": "greedy"}, "sgd"),
    "drmad": ({"type": "drmad", "every": EVERY, "samples": 1}, "sgd"),
    "drmad, stride 5": ({"type": "drmad", "every": EVERY, "samples": 1, "stride": 5}, "sgd"),
    "reversible": ({"type": "reversible", "every": EVERY, "samples": 1}, "sgd"),
}
"""Keys of `optimizer.outer`, and the inner optimiser, whose plain step the method is compared with."""


def spec(outer: dict[str, Any], inner: str, steps: int) -> dict[str, Any]:
    """The study that is timed."""
    return {
        "data": {"source": "synthetic", "rows": 404, "inputs": 98, "formula": "tanh(x0) + x1 * x2", "noise": 0.5},
        "model": {
            "likelihood": {"type": "gaussian", "noise": 0.5},
            "nodes": {"x": {}, "h": {"shape": [100]}, "y": {}},
            "edges": [
                {"from": "x", "to": "h", "basis": [{"type": "dense", "activation": "tanh"}]},
                {"from": "h", "to": "y", "basis": ["linear"]},
            ],
        },
        "prior": {"weights": {"precision": "per_parameter", "start_range": [0.5, 2.0]}},
        "optimizer": {
            "inner": {"type": inner, "steps": steps, "lr": 1e-3 if inner == "adam" else 1e-5},
            "outer": outer,
            "restarts": 1,
        },
    }


class Training:
    """structflow's own training of one member with a method, as a task of a run does it."""

    def __init__(self, method: str, steps: int):
        outer, inner = METHODS[method]
        study = study_from_mapping(spec(outer, inner, steps), Path.cwd())
        context = RunContext(RunDirectory(Path("none")), study, make_plan(study, "cpu", True, 1))
        self.spec = study.settings[0].stages[0]
        (structure,) = study.space
        (batch,) = make_batches(study.graph, [Candidate(structure, 0)], 1)
        self.bound = context.bound(context.population(batch, self.spec), self.spec)
        self.keys = context.keys(batch.members, 0, 0, 0)
        x, y = study.dataset.train()
        self.data = TrainingData(torch.from_numpy(x).float(), torch.from_numpy(y).float())
        self.start = self.bound.start(self.keys)
        self.inner, self.outer = inner_method(inner), outer_level(self.spec, batch.members)
        self.hyperparameters = sum(value.numel() for own in self.start.hyper.log_precision for value in own.values())
        self.steps, self.every = steps, outer.get("every", 1)

    def __call__(self, compiled: bool) -> float:
        """Train; returns the seconds of a step."""
        execution = Execution(torch.device("cpu"), torch.float32, compiled)
        tables = metaparameter_tables(self.spec, 0, 1, torch.float32, execution.device)
        started = time.perf_counter()
        setup = StageSetup(self.keys, self.data, tables, 1, Minibatching(None, 0, "benchmark"), execution)
        result = train(self.bound, self.start, setup, self.inner, self.outer)
        seconds = time.perf_counter() - started
        if result.diverged_at.max() >= 0:
            raise RuntimeError("training diverged, so what was timed isn't what is done")
        return seconds / self.steps


def measure(threads: int, repeats: int, steps: int, methods: list[str]) -> dict[str, Any]:
    """For each way to execute and each method: seconds of a step, and both ratios."""
    torch.set_num_threads(threads)
    keep_large_blocks()
    trainings = {method: Training(method, steps) for method in methods}
    found: dict[str, Any] = {"threads": threads, "steps": steps, "repeats": repeats}
    found["hyperparameters"] = next(iter(trainings.values())).hyperparameters
    for name, compiled in (("eager", False), ("compiled", True)):
        for training in trainings.values():
            training(compiled)  # traces and compiles
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        for _ in range(repeats):
            for method, training in trainings.items():
                seconds[method].append(training(compiled))
        found[name] = {}
        for method, training in trainings.items():
            plain = seconds["plain" if METHODS[method][1] == "adam" else "plain, sgd"]
            ratios = [own / step for own, step in zip(seconds[method], plain, strict=True)]
            found[name][method] = {
                "microseconds": 1e6 * median(seconds[method]),
                "step": median(ratios),
                "hypergradient": training.every * (median(ratios) - 1),
                "spread": (min(ratios), max(ratios)),
            }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=[], help="these and the plain steps")
    options = parser.parse_args()
    plain = [method for method in METHODS if method.startswith("plain")]
    methods = [method for method in METHODS if not options.only or method in (*plain, *options.only)]
    found = measure(options.threads, options.repeats, options.steps, methods)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"torch {torch.__version__}, {found['threads']} thread(s), {found['hyperparameters']:,} hyperparameters, "
        f"{options.repeats} repeats of {options.steps} steps"
    )
    print(f"{'':10}{'method':18}{'µs a step':>10}{'a step':>8}{'spread':>15}{'a hypergradient':>17}")
    for name in ("eager", "compiled"):
        for method, values in found[name].items():
            low, high = values["spread"]
            print(
                f"{name:10}{method:18}{values['microseconds']:10,.0f}{values['step']:8.2f}"
                f"{f'{low:.2f} … {high:.2f}':>15}{values['hypergradient']:17.1f}"
            )


if __name__ == "__main__":
    main()
