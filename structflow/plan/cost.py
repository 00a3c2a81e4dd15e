"""Forecasts of work and memory from the spec alone, so that what `auto` decides doesn't depend on a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..plugins import Shape
from ..spec.graph import Graph
from ..spec.models import Spec

BATCH_BYTES = 256 * 2**20
"""Memory that the values of one batch's training step may take."""

MOST_MEMBERS = 512
"""Members of a batch at most: beyond it a program gains nothing and a batch becomes a coarse unit of work."""

COPIES = 6
"""Values of a node that a step holds at once: forward, gradients and what the activation keeps."""

EAGER_SECONDS = 15e-9
COMPILED_SECONDS = 5e-9
"""Seconds for one value of a node in a training step, on one core; docs/benchmarks.md says how they were measured."""

OPERATION_SECONDS = 1.5e-3
"""Seconds that the operations of one eager step cost however small they are."""

COMPILATION_SECONDS = 10.0
"""Seconds that compiling one program takes at first."""


def product(shape: Shape) -> int:
    """Number of elements."""
    size = 1
    for length in shape:
        size *= length
    return size


@dataclass(frozen=True)
class MemberCost:
    """What one member costs: values of nodes and functions a step, and weights."""

    values: int
    weights: int

    def bytes(self, dtype: str, covariance: str) -> int:
        """Memory of one member while it trains: values, and parameters with their moments and gradients."""
        width = 8 if dtype == "float64" else 4
        parameters = self.weights * (2 if covariance == "diagonal" else 1 + self.weights)
        return width * (COPIES * self.values + 5 * parameters)


def member_cost(graph: Graph, shapes: Mapping[str, Shape], spec: Spec, rows: int, relaxed: bool) -> MemberCost:
    """Cost of the dearest member with these node shapes: relaxed, it uses every function of every edge."""
    batch_rows = min(spec.optimizer.inner.batch_size or rows, rows)
    values = weights = 0
    for edge in graph.edges:
        used = len(edge.functions) if relaxed or edge.space != "one" else 1
        values += used * product(shapes[edge.target])
        sizes = sorted(
            sum(
                map(
                    product,
                    function.plugin.weight_shapes(function.options, shapes[edge.source], shapes[edge.target]).values(),
                )
            )
            for function in edge.functions
        )
        weights += sum(sizes[-used:])
    return MemberCost(values * batch_rows * spec.optimizer.inner.samples, weights)


def members_per_batch(cost: MemberCost, spec: Spec) -> int:
    """The spec's number, or as many as the memory for a batch allows."""
    if spec.compute.members_per_batch != "auto":
        return spec.compute.members_per_batch
    return max(1, min(MOST_MEMBERS, BATCH_BYTES // cost.bytes(spec.compute.dtype, spec.posterior.weights.covariance)))


def training_seconds(cost: MemberCost, members: int, batches: int, steps: int, compiled: bool) -> float:
    """Forecast of the training time on one core, without compilation."""
    per_value = COMPILED_SECONDS if compiled else EAGER_SECONDS
    overhead = 0.1 * OPERATION_SECONDS if compiled else OPERATION_SECONDS
    return steps * (members * cost.values * per_value + batches * overhead)
