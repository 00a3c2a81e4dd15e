"""How fast a population trains beside a plain torch loop over the same members.

128 members of a network 13 → 50 → 1 with tanh on 404 rows: mean-field posterior, learned noise and prior precision,
one sample a step, float32, all rows at every step. Run it with

    python docs/benchmarks/population.py [--threads N] [--repeats R] [--steps S] [--json]

Each repeat times, in one process and one after the other: the loop (one member after another, `torch.optim.Adam`,
autograd), the population interpreted, and the population compiled. Tracing and compilation are done before and not
counted. What is printed are medians over the repeats, in member-steps a second.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; before torch is loaded

import torch
from torch import Tensor

from structflow.plan.batching import make_batches
from structflow.plan.plan import make_plan
from structflow.plugins import Candidate
from structflow.runner.context import RunContext
from structflow.spec.load import study_from_mapping
from structflow.store.run_directory import RunDirectory
from structflow.train.metaparameters import metaparameter_tables
from structflow.train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from structflow.train.trainer import train

MEMBERS = 128
LOOP_MEMBERS = 4
"""Members that one repeat of the loop trains: each takes the same time, so a few of them tell its speed."""

RATE = 0.01


def spec(steps: int, restarts: int = MEMBERS, rows: int = 404, width: int = 50) -> dict[str, Any]:
    """The study whose population is timed: one structure from many restarts."""
    return {
        "data": {"source": "synthetic", "rows": rows, "inputs": 13, "formula": "tanh(x0) + x1 * x2", "noise": 0.5},
        "model": {
            "nodes": {"x": {}, "h": {"shape": [width]}, "y": {}},
            "edges": [
                {"from": "x", "to": "h", "basis": [{"type": "dense", "activation": "tanh"}]},
                {"from": "h", "to": "y", "basis": ["linear"]},
            ],
        },
        "optimizer": {"inner": {"steps": steps, "lr": RATE}, "restarts": restarts},
    }


class PopulationTraining:
    """structflow's own training of all members, as a task of a run does it."""

    def __init__(self, document: dict[str, Any], samples: int = 1):
        self.samples = samples
        study = study_from_mapping(document, Path.cwd())
        context = RunContext(RunDirectory(Path("none")), study, make_plan(study, "cpu", True, 1))
        self.spec = study.settings[0].stages[0]
        restarts = range(self.spec.optimizer.restarts)
        candidates = [Candidate(structure, restart) for structure in study.space for restart in restarts]
        (batch,) = make_batches(study.graph, candidates, len(candidates))
        self.bound = context.bound(context.population(batch, self.spec), self.spec)
        self.keys = context.keys(batch.members, 0, 0, 0)
        x, y = study.dataset.train()
        self.data = TrainingData(torch.from_numpy(x).float(), torch.from_numpy(y).float())
        self.start = self.bound.start(self.keys)

    def by_weight(self, name: str) -> list[Tensor]:
        """The start of a parameter of q(w) for the weights and the biases of both layers, (M, *shape) each."""
        groups = self.bound.population.layout.groups
        weights = self.start.theta.weights
        return [value for group, own in zip(groups, weights, strict=True) for value in group.split(own[name]).values()]

    def __call__(self, compiled: bool) -> float:
        """Train all members; returns the mean of their bounds at the last step."""
        execution = Execution(torch.device("cpu"), torch.float32, compiled)
        tables = metaparameter_tables(self.spec, 0, 1, torch.float32, execution.device)
        batching = Minibatching(None, 0, "benchmark")
        setup = StageSetup(self.keys, self.data, tables, self.samples, batching, execution)
        result = train(self.bound, self.start, setup)
        terms = result.trajectory.terms
        return float((terms["log_likelihood"] - terms["kl_weights"])[-1].mean())


def train_one(population: PopulationTraining, steps: int, member: int) -> float:
    """A member as one writes it by hand: all weights sampled, KL in closed form; returns its last bound."""
    x, y = population.data.x, population.data.y

    def parameter(start: Tensor) -> Tensor:
        return start[member].float().clone().requires_grad_()

    generator = torch.Generator().manual_seed(member)
    means, log_sds = ([parameter(value) for value in population.by_weight(name)] for name in ("mean", "log_sd"))
    log_noise = parameter(population.start.theta.likelihood["log_noise"])
    log_precision = parameter(population.start.hyper.log_precision[0]["whole"])
    optimiser = torch.optim.Adam([*means, *log_sds, log_noise, log_precision], lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rows = len(x)
    bound = torch.zeros(())
    for _ in range(steps):
        optimiser.zero_grad()
        w1, b1, w2, b2 = (
            mean + log_sd.exp() * torch.randn(mean.shape, generator=generator)
            for mean, log_sd in zip(means, log_sds, strict=True)
        )
        f = torch.tanh(x @ w1 + b1) @ w2 + b2
        square = (y - f).square().sum()
        log_likelihood = -0.5 * square * (-2 * log_noise).exp() - rows * (log_noise + 0.5 * math.log(2 * math.pi))
        kl = sum(
            (
                0.5 * log_precision.exp() * (mean.square() + (2 * log_sd).exp()) - 0.5 - log_sd - 0.5 * log_precision
            ).sum()
            for mean, log_sd in zip(means, log_sds, strict=True)
        )
        bound = log_likelihood - kl
        (-bound).backward()
        optimiser.step()
        schedule.step()
    return float(bound.detach())


def timed(work: Callable[[], float], member_steps: int) -> tuple[float, float]:
    """Member-steps a second of some work, and what it returned."""
    started = time.perf_counter()
    value = work()
    return member_steps / (time.perf_counter() - started), value


def measure(threads: int, repeats: int, steps: int) -> dict[str, Any]:
    """Speeds in member-steps a second, medians over the repeats, and the bounds that were reached."""
    torch.set_num_threads(threads)
    population = PopulationTraining(spec(steps))

    def loop() -> float:
        return sum(train_one(population, steps, member) for member in range(LOOP_MEMBERS)) / LOOP_MEMBERS

    works: dict[str, tuple[Callable[[], float], int]] = {
        "loop": (loop, LOOP_MEMBERS),
        "eager": (lambda: population(False), MEMBERS),
        "compiled": (lambda: population(True), MEMBERS),
    }
    started = time.perf_counter()
    for work, _ in works.values():
        work()  # traces and compiles
    warm_up = time.perf_counter() - started
    speeds: dict[str, list[float]] = {name: [] for name in works}
    bounds: dict[str, float] = {}
    for _ in range(repeats):
        for name, (work, members) in works.items():
            speed, bounds[name] = timed(work, members * steps)
            speeds[name].append(speed)
    medians = {name: median(values) for name, values in speeds.items()}
    return {
        "threads": torch.get_num_threads(),
        "steps": steps,
        "repeats": repeats,
        "warm_up_seconds": warm_up,
        "member_steps_per_second": medians,
        "all": speeds,
        "ratio": {name: medians[name] / medians["loop"] for name in ("eager", "compiled")},
        "last_bound": bounds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.threads, options.repeats, options.steps)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"torch {torch.__version__}, {found['threads']} thread(s), {options.repeats} repeats of {options.steps} steps"
    )
    print(f"{'':10}{'member-steps/s':>16}{'µs each':>10}{'ratio':>8}{'spread':>20}{'last bound':>12}")
    for name, speed in found["member_steps_per_second"].items():
        spread = f"{min(found['all'][name]):,.0f} … {max(found['all'][name]):,.0f}"
        ratio = speed / found["member_steps_per_second"]["loop"]
        print(f"{name:10}{speed:16,.0f}{1e6 / speed:10.1f}{ratio:8.1f}{spread:>20}{found['last_bound'][name]:12.1f}")


if __name__ == "__main__":
    main()
