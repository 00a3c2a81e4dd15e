"""Forecasts of work and memory from the spec alone, so that what `auto` decides doesn't depend on a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..plugins import Shape
from ..spec.graph import INPUT, Graph
from ..spec.models import Spec
from ..spec.presets import fold_count

BATCH_BYTES = 256 * 2**20
"""Memory that the values of one batch's training step may take."""

MOST_MEMBERS = 512
"""Members of a batch at most: beyond it a program gains nothing and a batch becomes a coarse unit of work."""

COPIES = 6
"""Values of a node that a step holds at once: forward, gradients and what the activation keeps."""

EAGER_SECONDS = 17e-9
COMPILED_SECONDS = 6e-9
"""Seconds for one value of a node in a training step, on one core; docs/benchmarks.md says how they were measured."""

EAGER_OPERATIONS = 0.75e-3
COMPILED_OPERATIONS = 0.08e-3
"""Seconds that the operations of one basis function cost in a step of a batch, however small they are."""

COMPILATION_SECONDS = 4.5
"""Seconds that compiling a program takes at first, for each basis function in it."""


def product(shape: Shape) -> int:
    """Number of elements."""
    size = 1
    for length in shape:
        size *= length
    return size


@dataclass(frozen=True)
class MemberCost:
    """What one member costs: values of nodes and functions a step, weights, and functions in use."""

    values: int
    weights: int
    functions: int

    def bytes(self, dtype: str, covariance: str) -> int:
        """Memory of one member while it trains: values, and parameters with their moments and gradients."""
        width = 8 if dtype == "float64" else 4
        parameters = self.weights * (2 if covariance == "diagonal" else 1 + self.weights)
        return width * (COPIES * self.values + 5 * parameters)


def member_cost(graph: Graph, shapes: Mapping[str, Shape], spec: Spec, rows: int, relaxed: bool) -> MemberCost:
    """Cost of the most expensive member with these node shapes: relaxed, it uses every function of every edge.

    Where rows are held out in turn a member has inputs of its own, in the units of what it learns from.
    """
    batch_rows = min(spec.optimizer.inner.batch_size or rows, rows)
    values = product(shapes[INPUT]) if fold_count(spec) else 0
    weights = functions = 0
    for edge in graph.edges:
        used = len(edge.functions) if relaxed or edge.space != "one" else 1
        values += used * product(shapes[edge.target])
        functions += used
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
    return MemberCost(values * batch_rows * spec.optimizer.inner.samples, weights, functions)


def members_per_batch(cost: MemberCost, spec: Spec) -> int:
    """The spec's number, or as many as the memory for a batch allows."""
    if spec.compute.members_per_batch != "auto":
        return spec.compute.members_per_batch
    return max(1, min(MOST_MEMBERS, BATCH_BYTES // cost.bytes(spec.compute.dtype, spec.posterior.weights.covariance)))


@dataclass(frozen=True)
class Work:
    """The work of a round for a forecast: every member counts as the most expensive; `functions` are a program's."""

    cost: MemberCost
    members: int
    batches: int
    programs: int
    functions: int
    steps: int

    def training_seconds(self, compiled: bool, threads: int) -> float:
        """Seconds of training without compilation; threads share the values, not the calls of operations."""
        value = COMPILED_SECONDS if compiled else EAGER_SECONDS
        operations = COMPILED_OPERATIONS if compiled else EAGER_OPERATIONS
        return self.steps * (
            self.members * self.cost.values * value / threads + self.batches * self.functions * operations
        )

    def compilation_seconds(self) -> float:
        """Seconds of compiling all programs."""
        return COMPILATION_SECONDS * self.programs * self.functions
