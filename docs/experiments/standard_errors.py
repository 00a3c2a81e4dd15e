"""What standard errors of estimates of log evidence mean: z = (estimate − its mean over seeds) / standard error.

    python docs/experiments/standard_errors.py [--seeds 150]

A cubic (linear in its weights), one tanh unit (two weights, two modes that are copies of one another) and two relu
units on 25 rows, under many seeds at once. Estimates are compared with their own mean over seeds, as bounds are below
the evidence; an error that is right has z of 1 in rms. Where the evidence is known, by the closed form or by
quadrature, it is printed beside the mean. Errors of samples of rows are compared with the sum over all rows.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from structflow.evidence.row_sampling import row_sampling_error
from structflow.evidence.trained import TrainedPopulation
from structflow.model.population import build_population
from structflow.objective.bound import Bound, Distributions
from structflow.objective.noise import member_keys
from structflow.plugins import Candidate
from structflow.plugins.registry import registry
from structflow.spec.graph import Graph, GraphEdge, GraphFunction
from structflow.spec.models import Posterior, Prior

NOISE, ROWS, SAMPLES = 0.3, 25, 256

ESTIMATORS: Sequence[tuple[str, dict[str, Any]]] = (
    ("elbo", {}),
    ("iwelbo", {}),
    ("ais", {}),
    ("ais", {"temperatures": 100}),
    ("ais", {"temperatures": 20}),
    ("sgd_entropy", {}),
    ("sgd_entropy", {"restarts": 50}),
    ("sgld_entropy", {}),
    ("sgld_entropy", {"restarts": 50}),
)


@dataclass(frozen=True)
class Model:
    """A network on the rows, with its log evidence where that is known."""

    name: str
    graph: Graph
    log_evidence: float | None


def function(type_name: str, **options: Any) -> GraphFunction:
    """A candidate with these options."""
    registration = registry().of_kind("basis_functions")[type_name]
    values = registration.options(**options)
    return GraphFunction(registration.plugin.label(values), registration.plugin, values)


def network(hidden: int, *edges: tuple[str, str, GraphFunction]) -> Graph:
    """One input, one output, and a hidden node of so many units if any."""
    shapes = {"x": (1,), **({"h": (hidden,)} if hidden else {}), "y": (1,)}
    drawn = tuple(GraphEdge(source, target, "all", 0, (each,)) for source, target, each in edges)
    return Graph(tuple(shapes), {node: (shape,) for node, shape in shapes.items()}, drawn)


def data() -> tuple[np.ndarray, np.ndarray]:
    """y = tanh(1.5 x) + noise."""
    generator = np.random.default_rng(11)
    x = generator.normal(size=(ROWS, 1))
    return x, np.tanh(1.5 * x) + NOISE * generator.normal(size=(ROWS, 1))


def log_normal_density(y: np.ndarray, covariance: np.ndarray) -> float:
    """log N(y; 0, covariance)."""
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return float(-0.5 * (y.T @ np.linalg.solve(covariance, y))[0, 0] - 0.5 * log_determinant)


def evidence_of_a_tanh(x: np.ndarray, y: np.ndarray) -> float:
    """log ∫ N(y; 0, t tᵀ + σ² I) N(u; 0, 1) du for t = tanh(u x), over 4,001 points."""
    points = np.linspace(-8, 8, 4001)
    covariances = ((np.tanh(u * x), u) for u in points)
    values = [
        log_normal_density(y, t @ t.T + NOISE**2 * np.eye(ROWS)) - 0.5 * u**2 - 0.5 * math.log(2 * math.pi)
        for t, u in covariances
    ]
    return float(np.logaddexp.reduce(values)) + math.log(points[1] - points[0])


def models(x: np.ndarray, y: np.ndarray) -> list[Model]:
    """A cubic, y = v tanh(u x), and two relu units."""
    phi = np.hstack([x**power for power in range(4)])
    cubic = log_normal_density(y, phi @ phi.T + NOISE**2 * np.eye(ROWS))
    tanh, last = function("dense", bias=False), function("linear", bias=False)
    relu, affine = function("dense", activation="relu"), function("linear")
    return [
        Model("cubic", network(0, ("x", "y", function("polynomial", degree=3))), cubic),
        Model("1 tanh", network(1, ("x", "h", tanh), ("h", "y", last)), evidence_of_a_tanh(x, y)),
        Model("2 relu", network(2, ("x", "h", relu), ("h", "y", affine)), None),
    ]


def members(model: Model, seeds: int, x: np.ndarray, y: np.ndarray) -> TrainedPopulation:
    """So many members of the model at its start, which differ in their seeds; prior precision 1, known noise."""
    structure = next(iter(model.graph.structure_space()))
    candidates = [Candidate(structure, number) for number in range(seeds)]
    population = build_population(model.graph, model.graph.node_shapes(), candidates)
    gaussian = registry().of_kind("likelihoods")["gaussian"]
    distributions = Distributions(
        gaussian.plugin(gaussian.options(noise=NOISE), np.ones(1)),
        registry().get("structure_distributions", "gumbel_softmax"),
        Prior.model_validate({"weights": {"precision": 1.0}}),
        Posterior(),
        start_temperature=0.5,
    )
    bound = Bound(population, distributions)
    keys = member_keys([f"{model.name}/{number}" for number in range(seeds)])
    same = member_keys(["start"] * seeds)  # one q for all, so that only the noise of the estimate differs
    return TrainedPopulation(bound, bound.start(same), keys, torch.from_numpy(x), torch.from_numpy(y), 0.5)


def print_estimates(seeds: int) -> None:
    """A line an estimator and model."""
    x, y = data()
    print(
        f"{'model':8} {'estimator':34} {'evidence':>9} {'mean':>9} {'sd':>6} {'with s.e.':>9} {'z rms':>6} {'most':>6}"
    )
    for model in models(x, y):
        trained = members(model, seeds, x, y)
        for name, options in ESTIMATORS:
            registration = registry().of_kind("evidence_estimators")[name]
            found = registration.plugin.estimate(registration.options.model_validate(options), trained, SAMPLES)
            value, error = (part.numpy() for part in (found.value, found.standard_error))
            usable = np.isfinite(value)
            mean, known = value[usable].mean(), usable & np.isfinite(error) & (error > 0)
            z = (value - mean)[known] / error[known]
            shown = (
                f"{np.sqrt(np.mean(z**2)):6.2f} {np.abs(z).max():6.1f}" if known.sum() > 10 else f"{'–':>6} {'–':>6}"
            )
            label = name + (f" {options}" if options else "")
            exact = "" if model.log_evidence is None else f"{model.log_evidence:.2f}"
            line = f"{model.name:8} {label:34} {exact:>9} {mean:9.2f} {value[usable].std():6.2f} {known.mean():9.0%} "
            print(line + shown, flush=True)


def print_row_samples(draws: int = 4000) -> None:
    """The same for sums over 2,000 rows from 200 of them, normal and with a heavy tail."""
    generator = np.random.default_rng(5)
    for name, terms in (
        ("normal", generator.normal(size=2000)),
        ("Student's t, 3", generator.standard_t(3, size=2000)),
    ):
        samples = np.stack([generator.choice(terms, size=200, replace=False) for _ in range(draws)])
        z = (2000 * samples.mean(1) - terms.sum()) / row_sampling_error(samples, 2000)
        print(f"sample of rows, {name:16} z rms {np.sqrt(np.mean(z**2)):.2f}, most {np.abs(z).max():.1f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="z of standard errors of estimates of log evidence")
    parser.add_argument("--seeds", type=int, default=150)
    print_estimates(parser.parse_args().seeds)
    print_row_samples()


if __name__ == "__main__":
    main()
