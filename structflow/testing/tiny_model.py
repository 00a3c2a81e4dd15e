"""A tiny model around what is examined: x → h by the function in question, h → y by a plain readout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ShapeMismatch
from ..evidence.trained import TrainedPopulation
from ..model.population import build_population
from ..objective.bound import Bound, Distributions
from ..objective.levels import METAPARAMETERS
from ..objective.noise import member_keys
from ..objective.parameters import Parameters
from ..plugins import BasisFunction, BasisOptions, Candidate, Likelihood, Shape
from ..plugins.registry import registry
from ..spec.graph import Graph, GraphEdge, GraphFunction
from ..spec.models import Posterior, Prior
from ..train.metaparameters import MetaparameterTables
from ..train.stage_inputs import Execution, Minibatching, StageSetup, TrainingData
from ..train.trainer import TrainingResult, train
from .check import expect
from .numbers import DOUBLE, Weights

STEPS = 20
RATE = 0.01


class Readout(BasisFunction):
    """g(x; W, b) = Wᵀ vec(x) + b between any two shapes: W is (numbers in, numbers out), b of the output's shape."""

    type = "readout"
    linear_in_weights = True

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """W and b; raises `ShapeMismatch` for a scalar."""
        if not in_shape or not out_shape:
            raise ShapeMismatch(f"readout maps between shapes with an axis; got {list(in_shape)} to {list(out_shape)}")
        return {"weight": (math.prod(in_shape), math.prod(out_shape)), "bias": out_shape}

    def forward(self, weights: Weights, x: Tensor) -> Tensor:
        """Wᵀ vec(x) + b."""
        product = x.flatten(1) @ weights["weight"]
        return product.reshape(x.shape[0], *self.out_shape) + weights["bias"]

    def output_variance(self, variances: Weights, x: Tensor) -> Tensor:
        """Wᵀ vec(x)² + b of the variances."""
        return self.forward(variances, x * x)


class Bend(Readout):
    """g(x; W, b) = tanh(Wᵀ vec(x) + b): as `Readout`, but neither linear nor exact."""

    type = "bend"
    linear_in_weights = False

    def forward(self, weights: Weights, x: Tensor) -> Tensor:
        """tanh(Wᵀ vec(x) + b)."""
        return super().forward(weights, x).tanh()

    def output_variance(self, variances: Weights, x: Tensor) -> Tensor:
        """Raises `TypeError`."""
        return BasisFunction.output_variance(self, variances, x)


def candidate(name: str, plugin: type[BasisFunction], options: Any = None) -> GraphFunction:
    """A function on an edge."""
    return GraphFunction(name, plugin, BasisOptions() if options is None else options)


def chain(first: Sequence[GraphFunction], shapes: Sequence[Shape]) -> Graph:
    """x → h by one of `first`, h → y by a readout; `shapes` are those of x, h and y."""
    nodes = ("x", "h", "y")
    readout = GraphEdge("h", "y", "all", 0, (candidate("readout", Readout),))
    edge = GraphEdge("x", "h", "one" if len(first) > 1 else "all", 0, tuple(first))
    return Graph(
        nodes,
        {node: (tuple(shape),) for node, shape in zip(nodes, shapes, strict=True)},
        (edge, readout),
    )


@dataclass(frozen=True)
class TinyModel:
    """A population of every structure of a graph, with its data: x (rows, *shape of x), y prepared targets."""

    bound: Bound
    keys: np.ndarray
    x: Tensor
    y: Tensor

    def started(self) -> Parameters:
        """Parameters as members start with them."""
        return self.bound.start(self.keys)

    def trained(self, steps: int = STEPS) -> TrainingResult:
        """Members after some steps in float64, without compilation."""
        values = {"c_reg": 1.0, "c_train": 1.0, "c_prior": 1.0, "c_comb": 0.0, "c_temp": 0.5}
        row = torch.tensor([values[name] for name in METAPARAMETERS], dtype=DOUBLE)
        tables = MetaparameterTables(
            torch.full((steps,), RATE, dtype=DOUBLE), row.repeat(steps, 1), torch.ones(steps, dtype=torch.bool)
        )
        batching, execution = Minibatching(None, 0, "testing"), Execution(torch.device("cpu"), DOUBLE, False)
        setup = StageSetup(self.keys, TrainingData(self.x, self.y), tables, 1, batching, execution)
        return train(self.bound, self.started(), setup)

    def evaluated(self, parameters: Parameters) -> TrainedPopulation:
        """The members with these parameters, as estimators of evidence get them."""
        return TrainedPopulation(self.bound, parameters, self.keys, self.x, self.y, 0.5)


def tiny_model(
    graph: Graph,
    x: Tensor,
    y: Tensor,
    likelihood: Likelihood | None = None,
    restarts: Sequence[int] = (0, 1),
    relaxed: bool = False,
    posterior: Posterior | None = None,
) -> TinyModel:
    """The population of all structures of a graph, or of its relaxation, each from the given restarts."""
    structures = [None] if relaxed else list(graph.structure_space())
    members = [Candidate(structure, restart) for structure in structures for restart in restarts]
    population = build_population(graph, graph.node_shapes(), members)
    family = registry().get("structure_distributions", "gumbel_softmax")
    distributions = Distributions(
        likelihood or gaussian(y.shape[1]), family, Prior(), posterior or Posterior(), start_temperature=0.5
    )
    bound = Bound(population, distributions)
    names = [
        f"testing/{'relaxed' if member.structure is None else member.structure.canonical}/{member.restart}"
        for member in members
    ]
    return TinyModel(bound, member_keys(names), x, y)


def gaussian(n_targets: int) -> Likelihood:
    """The normal likelihood with a fixed noise of ½ for every target."""
    registration = registry().of_kind("likelihoods")["gaussian"]
    made: Likelihood = registration.plugin(registration.options.model_validate({"noise": 0.5}), np.ones(n_targets))
    return made


def expect_training(model: TinyModel) -> None:
    """Complain unless no member diverges and every bound stays finite."""
    result = model.trained()
    diverged = (result.diverged_at >= 0).sum()
    expect(diverged == 0, f"{diverged} of {len(result.diverged_at)} members diverged, first at {result.diverged_at}")
    terms = result.trajectory.terms
    bound = terms["log_likelihood"] - terms["kl_weights"]
    expect(bool(np.isfinite(bound).all()), f"a bound of {bound.min()} to {bound.max()}")
    lost = [name for name, value in model.bound.labelled(result.parameters).items() if not bool(value.isfinite().all())]
    expect(not lost, f"parameters that aren't finite: {', '.join(lost)}")
