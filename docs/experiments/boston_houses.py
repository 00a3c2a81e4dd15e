"""Evidence as the criterion: houses in Boston, six ways to train a network of softplus units and to choose its prior.

    python docs/experiments/boston_houses.py [--inputs standardised|raw] [--layers one three] [--splits 0 1 2]
        [--output FILE]

The model is that of specs/e4-boston-one-layer.yaml and specs/e4-boston-three-layers.yaml. Every column has r = 10
restarts from N(0, s²), s the spread of the functions' own starts, and plain gradient steps; the prior's variance (10 to
10⁹) and the step's rate are chosen by the column's own criterion on trajectories of two restarts. Prediction: the mean
over restarts, or over q. Results are added to FILE, by default docs/experiments/boston_houses.json, which
docs/figures/boston_table.py draws.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import structflow
from structflow.builtin.evidence_estimators.curvature import LARGEST_STEP, curvature
from structflow.builtin.evidence_estimators.descent_start import DescentStart, descent_start
from structflow.builtin.evidence_estimators.entropy_of_descent import Descent, Look
from structflow.builtin.evidence_estimators.joint_derivatives import LogJoint
from structflow.data.dataset import Dataset
from structflow.evidence.trained import TrainedPopulation
from structflow.model.population import build_population
from structflow.objective.bound import Bound, Distributions
from structflow.objective.noise import member_keys
from structflow.objective.weight_vectors import PopulationWeights
from structflow.plugins import Candidate
from structflow.plugins.registry import registry
from structflow.spec.load import study_from_mapping
from structflow.spec.models import Posterior, Prior

SPECS = Path(__file__).parents[2] / "specs"
VARIANCES = tuple(10.0**power for power in range(1, 10))
NO_PRIOR = 1e30
"""A prior variance that no gradient feels."""

INPUT_NOISE = 0.5
"""Variance σ of RMSE_σ."""

NOISE_DRAWS = 20
VALIDATION_SHARE = 0.2
PARTS = ("sgd", "sgld", "validation", "mean-field")


@dataclass(frozen=True)
class Settings:
    """How much is done: `rates` are in units of 1/λ_max at the start, `batch_size` are rows of a step."""

    restarts: int = 10
    search_restarts: int = 2
    steps: int = 3000
    search_steps: int = 3000
    check_every: int = 100
    patience: int = 300
    measure_every: int = 10
    rates: tuple[float, ...] = (0.3, 0.1)
    variances: tuple[float, ...] = VARIANCES
    batch_size: int | None = None
    compiled: bool = True
    mean_field_steps: int = 3000
    mean_field_restarts: int = 3
    mean_field_rates: tuple[float, ...] = (0.01, 0.003)


DEFAULTS = {
    "one": Settings(),
    "three": Settings(steps=4000, search_steps=2500, rates=(0.15, 0.07), batch_size=101),
}
"""λ_max grows threefold in the deeper network, which takes smaller steps on a quarter of the rows each."""


@dataclass(frozen=True)
class Table:
    """Training rows, of which the last part is for validation, and test rows; targets in the original units."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @classmethod
    def of(cls, dataset: Dataset, seed: int) -> Table:
        """Of a prepared dataset; the order of the training rows is drawn."""
        (x, y), (test_x, test_y) = dataset.train(), dataset.test()
        order = np.random.default_rng(seed).permutation(len(x))
        return cls(*(torch.from_numpy(part) for part in (x[order], y[order], test_x, test_y)))

    def validated(self) -> Table:
        """Most of the training rows, with the others in place of the test rows."""
        count = round((1 - VALIDATION_SHARE) * len(self.x))
        return Table(self.x[:count], self.y[:count], self.x[count:], self.y[count:])


COMPILED: dict[tuple[Any, ...], Callable[..., tuple[Tensor, ...]]] = {}


@dataclass(frozen=True)
class CompiledLogJoint(LogJoint):
    """The same in float32 and compiled: log p(y, w) is right to about 0.001 nats."""

    name: str = ""

    def first_order(self, w: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """log p(y, w) and ∇ log p(y, w)."""
        value, gradient = self._call("first_order", rows, w)
        return value, gradient

    def second_order(self, w: Tensor, v: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """log p(y, w), ∇ log p(y, w) and H v."""
        value, gradient, product = self._call("second_order", rows, w, v)
        return value, gradient, product

    def _call(self, what: str, rows: Tensor | None, *vectors: Tensor) -> tuple[Tensor, ...]:
        weights = self.weights
        assert isinstance(weights, PopulationWeights)
        arguments = [weights.x.float(), weights.y.float(), *(vector.float() for vector in vectors)]
        arguments += [] if rows is None else [rows]
        key = (what, self.name, *(tuple(argument.shape) for argument in arguments))
        if key not in COMPILED:
            single = weights.parameters.map(Tensor.float)

            def function(x: Tensor, y: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
                joint = LogJoint(replace(weights, parameters=single, x=x, y=y))
                at, chosen = (rest[:-1], rest[-1]) if rows is not None else (rest, None)
                found: tuple[Tensor, ...] = getattr(joint, what)(*at, chosen)
                return found

            COMPILED[key] = torch.compile(make_fx(function)(*arguments), dynamic=False)
        return tuple(part.double() for part in COMPILED[key](*arguments))


def members_of(spec: dict[str, Any], table: Table, variances: list[float], settings: Settings) -> LogJoint:
    """The model's only structure as many times as there are prior variances, on the training rows of a table."""
    study = study_from_mapping(spec, SPECS)
    graph, options = study.graph, study.settings[0].stages[0].model.likelihood
    structure = next(iter(graph.structure_space()))
    population = build_population(graph, graph.node_shapes(), [Candidate(structure, 0)] * len(variances))
    likelihood = registry().get("likelihoods", options.type)(options, np.ones(1))
    family = registry().get("structure_distributions", "gumbel_softmax")
    bound = Bound(population, Distributions(likelihood, family, Prior(), Posterior(), start_temperature=0.5))
    keys = member_keys([f"{spec['name']}/{spec['seed']}"] * len(variances))  # all members see the same noise
    started = bound.start(keys)
    log_precision = -torch.tensor(variances, dtype=torch.float64).log()
    started.hyper.log_precision[0]["whole"].copy_(log_precision)
    trained = TrainedPopulation(bound, started, keys, table.x, table.y, 0.5)
    if not settings.compiled:
        return LogJoint(trained.weights, settings.batch_size)
    name = f"{spec['name']}/{variances}"
    return CompiledLogJoint(trained.weights, settings.batch_size, name=name)


@dataclass(frozen=True)
class Kept:
    """Members (M,) at the look where their criterion was best: its value, the step, the weights (M, r, n)."""

    criterion: Tensor
    step: Tensor
    weights: Tensor


def follow(looks: Iterator[Look], criterion: Callable[[Look], Tensor], settings: Settings, stop: bool = True) -> Kept:
    """The best look of every member before its criterion stops rising; without `stop` the last one.

    A member whose steps break βλ_max ≤ 0.68 stops there where `stop` is asked for, and so does one that diverges.
    """
    look = next(looks)
    best = Kept(criterion(look), torch.zeros(len(look.weights), dtype=torch.int64), look.weights)
    stopped = torch.zeros_like(best.step, dtype=torch.bool)
    for look in looks:
        value = criterion(look).nan_to_num(nan=-torch.inf)
        stopped |= stop & ~(look.largest_step.amax(1) <= LARGEST_STEP)
        better = ~stopped & ((value > best.criterion) if stop else torch.ones_like(stopped))
        step = torch.where(better, look.step, best.step)
        weights = torch.where(better.reshape(-1, 1, 1), look.weights, best.weights)
        best = Kept(torch.where(better, value, best.criterion), step, weights)
        stopped |= stop & (look.step - step >= settings.patience)
        if bool(stopped.all()):
            break
    return best


def descent_of(
    joint: LogJoint, start: DescentStart, shares: list[float], settings: Settings, langevin: bool, measure: bool = True
) -> Descent:
    """Trajectories of members with rates that are shares of 1/λ_max at their starts."""
    steepest = curvature(joint, start.draws, 0, "boston/start").largest.amax(1)
    rate = torch.tensor(shares, dtype=torch.float64) / steepest
    every = settings.measure_every if measure else settings.check_every
    return Descent(joint, rate, langevin, settings.steps, settings.check_every, every, "boston")


def rmse(outputs: Tensor, y: Tensor) -> Tensor:
    """Root mean square error of outputs (…, rows, 1): (…,)."""
    return (outputs - y).square().mean((-2, -1)).sqrt()


@dataclass(frozen=True)
class Study:
    """One depth of the network on one split."""

    spec: dict[str, Any]
    table: Table
    settings: Settings

    def train(
        self, table: Table, grid: list[tuple[float, float]], restarts: int, kind: str, stop: bool = True
    ) -> tuple[Kept, LogJoint]:
        """Members of a grid of (variance, share), stopped by `kind`: validation rows, or a bound of sgd or sgld."""
        joint = members_of(self.spec, table, [variance for variance, _ in grid], self.settings)
        start = descent_start(joint.weights, "functions", restarts, "boston/start")
        descent = descent_of(
            joint, start, [share for _, share in grid], self.settings, kind == "sgld", kind != "validation"
        )

        def validation(look: Look) -> Tensor:
            weights = joint.weights
            assert isinstance(weights, PopulationWeights)
            return -rmse(weights.outputs_at(look.weights, table.test_x).mean(1), table.test_y)

        criterion = validation if kind == "validation" else (lambda look: look.bound.mean(1))
        with torch.no_grad():
            return follow(descent.looks(start), criterion, self.settings, stop), joint

    def search(self, table: Table, kind: str) -> Callable[[tuple[float, ...]], tuple[float, float]]:
        """Two restarts of the whole grid; the result gives the best (variance, share) of some variances."""
        grid = [(variance, share) for variance in (*self.settings.variances, NO_PRIOR) for share in self.settings.rates]
        searching = replace(self, settings=replace(self.settings, steps=self.settings.search_steps))
        kept, _ = searching.train(table, grid, self.settings.search_restarts, kind)

        def best(variances: tuple[float, ...]) -> tuple[float, float]:
            allowed = torch.tensor([variance in variances for variance, _ in grid])
            return grid[int(torch.where(allowed, kept.criterion, -torch.inf).argmax())]

        return best

    def by_validation(self) -> dict[str, Any]:
        """The columns without a bound: no stop on all rows; stopped by validation rows; the same with a prior."""
        validated = self.table.validated()
        best = self.search(validated, "validation")
        plain, with_prior = best((NO_PRIOR,)), best(self.settings.variances)
        kept, joint = self.train(validated, [plain, with_prior], self.settings.restarts, "validation")
        last, on_all = self.train(self.table, [plain], self.settings.restarts, "validation", stop=False)
        return {
            "none": self.column(last, on_all, 0, plain),
            "validation": self.column(kept, joint, 0, plain),
            "validation + prior": self.column(kept, joint, 1, with_prior),
        }

    def by_bound(self, kind: str) -> dict[str, Any]:
        """A column with a bound on the evidence, of all training rows."""
        best = self.search(self.table, kind)(self.settings.variances)
        kept, joint = self.train(self.table, [best], self.settings.restarts, kind)
        return self.column(kept, joint, 0, best)

    def column(self, kept: Kept, joint: LogJoint, member: int, choice: tuple[float, float]) -> dict[str, Any]:
        """What is reported of a member."""
        weights = joint.weights
        assert isinstance(weights, PopulationWeights)

        def outputs(x: Tensor) -> Tensor:
            with torch.no_grad():
                return weights.outputs_at(kept.weights, x)[member]

        single = rmse(outputs(self.table.test_x), self.table.test_y)
        return {
            **self.errors(lambda x: outputs(x).mean(0)),
            "single": single.mean().item(),
            "single_sd": single.std().item(),
            "step": int(kept.step[member]),
            "criterion": kept.criterion[member].item(),
            "variance": choice[0] if choice[0] != NO_PRIOR else None,
            "rate": choice[1],
        }

    def errors(self, predict: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """RMSE, and RMSE_σ: the root of the mean square over draws of N(0, σ I) that are added to the inputs."""
        noise = np.random.default_rng(0).normal(size=(NOISE_DRAWS, *self.table.test_x.shape))
        noisy = [
            rmse(predict(self.table.test_x + INPUT_NOISE**0.5 * torch.from_numpy(draw)), self.table.test_y)
            for draw in noise
        ]
        return {
            "rmse": float(rmse(predict(self.table.test_x), self.table.test_y)),
            "rmse_noisy": float(torch.stack(noisy).square().mean().sqrt()),
        }

    def mean_field(self, dataset: Dataset) -> dict[str, Any]:
        """The column of q(w) = N(μ, diag α), prior variance and rate chosen by the bound, trained by structflow.run."""
        inner = {"steps": self.settings.mean_field_steps}
        precisions = [1 / variance for variance in self.settings.variances]
        study = {
            **self.spec,
            "optimizer": {"inner": inner, "restarts": self.settings.mean_field_restarts},
            "evidence": {"samples": 64},
            "compute": {"compile": self.settings.compiled},
            "sweep": [
                {"prior.weights.precision": precisions},
                {"optimizer.inner.lr": list(self.settings.mean_field_rates)},
            ],
        }
        study["data"] = {**study["data"], "path": str(SPECS / study["data"]["path"])}
        with tempfile.TemporaryDirectory() as folder:
            run = structflow.run(study, Path(folder) / "run")
            found = [item["ranking"][0] if item["ranking"] else None for item in run.summary["settings"]]
            bounds = [-np.inf if item is None else item["log_evidence"] for item in found]
            place = int(np.argmax(bounds))
            values = run.summary["settings"][place]["values"]
            if place > 0:  # a run gives predictions of its first setting
                fitted = {**study, "sweep": [{key: [value] for key, value in values.items()}]}
                run = structflow.run(fitted, Path(folder) / "best")
            best = run.best
            shift, scale = (torch.from_numpy(part) for part in (dataset.input_shift, dataset.input_scale))
            errors = self.errors(
                lambda x: torch.from_numpy(np.asarray(best.predict((x * scale + shift).numpy()).mean)).reshape(-1, 1)
            )
        return {**errors, "criterion": bounds[place], "variance": 1 / values["prior.weights.precision"],
                "rate": values["optimizer.inner.lr"]}  # fmt: skip


def study_of(layers: str, inputs: str, split: int, settings: Settings) -> tuple[Study, Dataset]:
    """The study of a depth on a split, with the prepared data."""
    spec = yaml.safe_load((SPECS / f"e4-boston-{layers}-layer{'s' if layers == 'three' else ''}.yaml").read_text())
    spec["seed"] = split
    spec["data"]["split"]["seed"] = split
    spec["data"]["standardize"]["inputs"] = inputs == "standardised"
    dataset = study_from_mapping(spec, SPECS).dataset
    return Study(spec, Table.of(dataset, split), settings), dataset


def add_results(output: Path, layers: str, inputs: str, split: int, settings: Settings, wanted: list[str]) -> None:
    """The parts that are wanted, of a depth and a split, printed and written one by one."""
    study, dataset = study_of(layers, inputs, split, settings)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "sgd": lambda: {"SGD entropy": study.by_bound("sgd")},
        "sgld": lambda: {"SGLD entropy": study.by_bound("sgld")},
        "validation": study.by_validation,
        "mean-field": lambda: {"mean-field normal": study.mean_field(dataset)},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    for part in (parts[name] for name in wanted):
        done = json.loads(output.read_text()) if output.exists() else {}
        began = time.perf_counter()
        for column, found in part().items():
            done[f"{layers}/{inputs}/{split}/{column}"] = found
            shown = {name: value if value is None else round(value, 3) for name, value in found.items()}
            print(f"{layers} {inputs} {split} {column}: {shown}", flush=True)
        print(f"    {time.perf_counter() - began:.0f} s", flush=True)
        output.write_text(json.dumps(done, indent=1) + "\n")


def main() -> None:
    """Add the results of every depth and split to the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", choices=("standardised", "raw"), default="standardised")
    parser.add_argument("--layers", choices=("one", "three"), nargs="+", default=["one", "three"])
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of a trajectory; by default 3000, or 4000 of three layers")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS), help="which columns")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for split in arguments.splits:
        for layers in arguments.layers:
            settings = DEFAULTS[layers]
            if arguments.steps is not None:
                settings = replace(settings, steps=arguments.steps, search_steps=arguments.steps)
            add_results(arguments.output, layers, arguments.inputs, split, settings, arguments.parts)


if __name__ == "__main__":
    main()
