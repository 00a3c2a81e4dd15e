"""Forecasts of work and memory from the spec alone, so that what `auto` decides doesn't depend on a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ..plugins import Shape
from ..plugins.registry import registry
from ..spec.criterion_calls import holds_rows_out, posterior_of, weight_family
from ..spec.graph import INPUT, OUTPUT, Graph, GraphEdge
from ..spec.models import Spec

if TYPE_CHECKING:
    from .function_work import FunctionWork

BATCH_BYTES = 256 * 2**20
"""Memory that the values of one batch's training step may take."""

MOST_MEMBERS = 512
"""Members of a batch at most: beyond it a program gains nothing and a batch becomes a coarse unit of work."""

COPIES = 6
"""Values of a node that a step holds at once: forward, gradients and what the activation keeps."""


MATRICES = 6
"""Matrices that a look at the curvature of a member holds: sums over rows, H, its factor and its inverse."""


@dataclass(frozen=True)
class Constants:
    """Seconds on one core of what a training step counts (`StepWork`), and of compiling a program."""

    step: float
    operation: float
    number: float
    multiplication: float
    weight: float
    program: float
    program_operation: float

    thread_operation: float
    """What each operation takes more where several threads share it: they have to be woken and to meet again."""


EAGER = Constants(7.5e-4, 1.3e-4, 3.8e-9, 7.8e-11, 0.0, 0.14, 0.03, 4e-5)
COMPILED = Constants(4.4e-5, 1.8e-5, 1e-9, 3.5e-11, 2.7e-8, 2.1, 1.0, 2e-5)
"""docs/benchmarks.md says where they are from."""


def product(shape: Shape) -> int:
    """Number of elements."""
    size = 1
    for length in shape:
        size *= length
    return size


@dataclass(frozen=True)
class StepWork:
    """What one training step of a batch counts: see `FunctionWork`; `weights` are those of all members."""

    operations: float
    numbers: float
    multiplications: float
    weights: float

    @property
    def counts(self) -> tuple[float, ...]:
        """The step itself, and its counts, in the order of `Constants`."""
        return (1.0, self.operations, self.numbers, self.multiplications, self.weights)

    def seconds(self, compiled: bool, threads: int) -> float:
        """Seconds of the step; threads share the numbers, not the calls of operations."""
        at = COMPILED if compiled else EAGER
        shared = self.numbers * at.number + self.multiplications * at.multiplication + self.weights * at.weight
        waiting = self.operations * at.thread_operation if threads > 1 else 0.0
        return at.step + self.operations * at.operation + waiting + shared / threads


SELECTION_SHARE = 8
"""Restarts are compared by so many times fewer samples than structures."""

LEAST_SAMPLES = 16
"""Samples that restarts are compared by, at least."""

STARTUP_SECONDS = 3.0
"""What a run takes beside its tasks: loading libraries and data, writing results."""

TASK_SECONDS = 0.1
"""What a batch takes beside its training and its evaluation."""

EVALUATION_SHARE = 2 / 3
"""What an evaluation takes of a training step on as many rows: it has no gradients, a third of the work, but is in
double precision."""


def selection_samples(spec: Spec) -> int:
    """Samples of q that restarts are compared by."""
    return max(LEAST_SAMPLES, spec.evidence.samples // SELECTION_SHARE)


PARAMETER_NUMBERS = 6
"""Numbers that a step makes of a parameter of q: its gradient, the optimiser's moments, its share of a draw."""


@dataclass(frozen=True)
class MemberCost:
    """What one member holds while it trains: values of nodes, weights, and numbers of output over all rows."""

    values: int
    weights: int
    outputs: int = 0

    def bytes(self, spec: Spec) -> int:
        """Memory of one member while it trains: values, and parameters with their moments and gradients."""
        width = 8 if spec.compute.dtype == "float64" else 4
        weights = posterior_of(spec).weights
        parameters = weight_family(spec).parameter_count(weights, self.weights)
        return width * (COPIES * self.values + 5 * parameters) + 8 * self.curvature_numbers(spec)

    def curvature_numbers(self, spec: Spec) -> int:
        """Numbers, in double precision, of the matrices of a curvature that is fitted to a member."""
        family, options = weight_family(spec), posterior_of(spec).weights
        if not self.outputs or not family.fits_curvature or family.curvature(options) == "diagonal":
            return 0
        if self.weights <= self.outputs:
            return MATRICES * self.weights**2
        return MATRICES * self.outputs**2 + 2 * self.outputs * self.weights


def member_cost(graph: Graph, shapes: Mapping[str, Shape], spec: Spec, rows: int, relaxed: bool) -> MemberCost:
    """Memory of the largest member with these node shapes: relaxed, it uses every function of every edge.

    Where rows are held out in turn a member has inputs of its own, in the units of what it learns from.
    """
    values = product(shapes[INPUT]) if holds_rows_out(spec) else 0
    weights = 0
    for edge in graph.edges:
        used = len(edge.functions) if relaxed or edge.space != "one" else 1
        values += used * product(shapes[edge.target])
        weights += sum(sorted(weight_counts(edge, shapes))[-used:])
    outputs = 0 if relaxed else rows * product(shapes[OUTPUT])
    return MemberCost(values * step_rows(spec, rows) * spec.optimizer.inner.samples, weights, outputs)


def weight_counts(edge: GraphEdge, shapes: Mapping[str, Shape]) -> list[int]:
    """The number of weights of each function of an edge."""
    ends = shapes[edge.source], shapes[edge.target]
    weights = [function.plugin.weight_shapes(function.options, *ends) for function in edge.functions]
    return [sum(map(product, each.values())) for each in weights]


def step_rows(spec: Spec, rows: int) -> int:
    """Rows of one training step."""
    return min(spec.optimizer.inner.batch_size or rows, rows)


def share_in_use(edge: GraphEdge, relaxed: bool) -> float:
    """The share of an edge's functions that a member uses, on average over structures."""
    if relaxed or edge.space == "all":
        return 1.0
    return 1 / len(edge.functions) if edge.space == "one" else 0.5


def batch_work(graph: Graph, spec: Spec, rows: int, members: float, relaxed: bool, alone: bool = False) -> StepWork:
    """The work of a training step of a batch of so many members, on average over structures and shapes.

    The program holds every function, whoever uses it, unless each structure is `alone` in its batches.
    """
    assignments = [dict(chosen) for chosen in graph.structure_space().shape_assignments()]
    works = [assignment_work(graph, graph.node_shapes(chosen), relaxed, alone) for chosen in assignments]
    evaluated = members * step_rows(spec, rows) * spec.optimizer.inner.samples
    parameters = members * fmean(more_parameters(spec, round(work.weights)) for work in works)
    return StepWork(
        fmean(work.operations for work in works),
        evaluated * fmean(work.numbers for work in works) + PARAMETER_NUMBERS * parameters,
        evaluated * fmean(work.multiplications for work in works),
        members * fmean(work.weights for work in works),
    )


def more_parameters(spec: Spec, weights: int) -> int:
    """How many parameters more q(w) has than a mean and a deviation for each weight."""
    count: int = weight_family(spec).parameter_count(posterior_of(spec).weights, weights)
    return max(0, count - 2 * weights)


def assignment_work(graph: Graph, shapes: Mapping[str, Shape], relaxed: bool, alone: bool) -> StepWork:
    """The work of one member on one row, by one sample, with these node shapes, and the operations of a program."""
    from .function_work import function_work  # it needs torch, which commands that only show plans do without

    operations = numbers = multiplications = weights = 0.0
    for edge in graph.edges:
        share = share_in_use(edge, relaxed)
        works: Sequence[FunctionWork] = [
            function_work(function, shapes[edge.source], shapes[edge.target]) for function in edge.functions
        ]
        operations += (share if alone else 1) * sum(work.operations for work in works)
        numbers += share * sum(work.values for work in works)
        multiplications += share * sum(work.multiplications for work in works)
        weights += share * sum(weight_counts(edge, shapes))
    return StepWork(operations, numbers, multiplications, weights)


def members_per_batch(cost: MemberCost, spec: Spec) -> int:
    """The spec's number, or as many as the memory for a batch allows."""
    if spec.compute.members_per_batch != "auto":
        return spec.compute.members_per_batch
    return max(1, min(MOST_MEMBERS, BATCH_BYTES // cost.bytes(spec)))


def steps_worth(spec: Spec) -> float:
    """How many plain steps of θ one step takes, with its share of the steps of h."""
    outer = spec.optimizer.outer
    method = registry().get("hypergradients", outer.type)
    if method.levels != 2:
        return 1.0
    each: float = method.cost(outer, spec.optimizer.inner.samples)
    return 1.0 + each / float(outer.every)


def evaluation_work(step: StepWork, spec: Spec, rows: tuple[int, int], members: int, structures: int) -> StepWork:
    """What is evaluated of a round after its training, from the work `step` of a step of one member.

    `rows` are those of training and of test. Every member's complexities and score are estimated from a few samples;
    those of the best restart of every structure, and its metrics, from `evidence.samples`, and its evidence as the
    estimators say. Robustness and curves of removed weights predict rows again for each draw of noise.
    """
    train, test = rows
    each = 2 * train * selection_samples(spec) * members
    samples, robustness = spec.evidence.samples, spec.robustness
    best = (2 * train + test) * samples + train * estimates_cost(spec, round(step.weights))
    draws = sum(robustness.samples if sd > 0 else 1 for sd in (*robustness.inputs, *robustness.weights))
    best += draws * (train + test) * samples
    evaluated = each + best * structures + curves_rows(spec, rows, structures)
    share = EVALUATION_SHARE * evaluated / (step_rows(spec, train) * spec.optimizer.inner.samples)
    return StepWork(0.0, share * step.numbers, share * step.multiplications, 0.0)


def estimates_cost(spec: Spec, weights: int) -> float:
    """Evaluations of the training rows, by one sample, of all estimators for a member with so many weights."""
    found = 0.0
    for options in spec.evidence.estimators:
        found += registry().get("evidence_estimators", options.type).cost(options, weights, spec.evidence.samples)
    return found


def curves_rows(spec: Spec, rows: tuple[int, int], structures: int) -> float:
    """Rows that all curves of removed weights evaluate: at every share the bound, metrics, and metrics under noise."""
    curves = spec.relevance
    if curves is None:
        return 0.0
    train, test = rows
    noisy = (len(curves.input_noise) + len(curves.weight_noise)) * curves.perturbations * (test or train)
    drawn = structures if curves.structures == "all" else min(structures, curves.structures)
    return drawn * len(curves.criteria) * len(curves.shares) * curves.samples * (2.0 * train + test + noisy)


@dataclass(frozen=True)
class Work:
    """The work of a round for a forecast: batches of mean size, the programs that they need, and all evaluations."""

    step: StepWork
    batches: int
    programs: int
    steps: float
    evaluation: StepWork

    def training_seconds(self, compiled: bool, threads: int) -> float:
        """Seconds of training without compilation."""
        return self.steps * self.batches * self.step.seconds(compiled, threads)

    def preparation_seconds(self, compiled: bool) -> float:
        """Seconds of tracing, and of compiling, all programs."""
        at = COMPILED if compiled else EAGER
        return self.programs * (at.program + at.program_operation * self.step.operations)

    def evaluation_seconds(self, threads: int) -> float:
        """Seconds of all that follows training, which is never compiled."""
        return TASK_SECONDS * self.batches + self.evaluation.seconds(False, threads) - EAGER.step
