"""The loop that trains a population for one stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from ..objective.noise import NoiseSource, noise_source
from .conditioning import coordinates_for
from .flat import FlatLayout
from .metaparameters import MetaparameterTables
from .minibatches import minibatch_rows
from .outer_level import OuterAscent, OuterLevel, outer_ascent
from .program import Program, prepare_compiler, program_for
from .step import Objectives, make_step

TRACE_POINTS = 100
"""Points of the trajectory that are kept of a stage."""

NOISE_NUMBERS = 2_000_000
"""Random numbers drawn ahead at most, unless one step needs more."""

NOISE_STEPS = 64
"""Steps whose random numbers are drawn ahead at most."""


@dataclass(frozen=True)
class Execution:
    """Where and how the program runs."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool


@dataclass(frozen=True)
class TrainingData:
    """Rows the members learn from, on the device: inputs (rows, *shape), targets (rows, …).

    `inner_weights` and `outer_weights` (M, rows) weigh the rows of every member in L and in Q; None is 1.
    """

    x: Tensor
    y: Tensor
    inner_weights: Tensor | None = None
    outer_weights: Tensor | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.x)


@dataclass(frozen=True)
class Minibatching:
    """How rows are drawn: everything at once, or `batch_size` rows keyed by seed and stage."""

    batch_size: int | None
    seed: int
    stage: str


@dataclass(frozen=True)
class Trajectory:
    """Terms of the bound at some steps: `steps` (P,), every term (P, M)."""

    steps: np.ndarray
    terms: dict[str, np.ndarray]


@dataclass(frozen=True)
class TrainingResult:
    """What a stage leaves: parameters θ and h, the trajectory, and when a member diverged (M,), −1 for never.

    With two levels `outer` holds the `step` of every hypergradient (T,) and what was reported of each, (T, M).
    """

    parameters: dict[str, Tensor]
    trajectory: Trajectory
    diverged_at: np.ndarray
    outer: dict[str, np.ndarray]


STRUCTURE_NAMES = ("structure", "structure_temperature", "prior_structure")
"""First parts of the names of parameters of q(Γ) and p(Γ)."""

CONCENTRATION_NAMES = ("structure", "prior_structure")
"""First parts of the names of log concentrations."""

HYPERPARAMETER_NAMES = ("log_precision", "prior_structure")
"""First parts of the names of h; the likelihood's own parameters are raised with θ."""

TERM_NAMES = ("log_likelihood", "kl_weights", "kl_structure", "divergence", "log_hyperprior")


def train(
    bound: Bound,
    parameters: dict[str, Tensor],
    keys: np.ndarray,
    data: TrainingData,
    tables: MetaparameterTables,
    samples: int,
    minibatching: Minibatching,
    execution: Execution,
    on_step: Callable[[int], None] | None = None,
    outer: OuterLevel | None = None,
    largest_log_concentration: float | None = None,
) -> TrainingResult:
    """Train all members of `bound`'s population from `parameters` for as many steps as the tables have.

    `keys` (M, 2) are the members' Philox keys; `on_step` is told how many steps are done, after each block of steps.
    Without `outer` θ and h rise together; with it θ rises, and h after every so many steps of θ. log s of q(Γ) and p(Γ)
    stays within ± `largest_log_concentration`.
    """
    if execution.compiled:
        prepare_compiler()
    c_reg = float(tables.column("c_reg")[0]) if tables.steps else 1.0
    coordinates = coordinates_for(bound, parameters, data.x, data.y, c_reg, data.inner_weights)
    whitening = {name: value.to(execution.dtype) for name, value in coordinates.whitening.items()}
    start = coordinates.whitened({name: value.double().to(execution.device) for name, value in parameters.items()})
    layout = FlatLayout.of(start)
    state = layout.pack(start).to(execution.device, execution.dtype, copy=True)
    of_structure = numbers_of(layout, start, STRUCTURE_NAMES)
    of_h = numbers_of(layout, start, HYPERPARAMETER_NAMES)
    limit = torch.full_like(state, math.inf)
    if largest_log_concentration is not None:
        boxed = numbers_of(layout, start, CONCENTRATION_NAMES)
        limit = torch.where(boxed, torch.full_like(state, largest_log_concentration), limit)
    first, second = torch.zeros_like(state), torch.zeros_like(state)
    members = bound.population.size
    diverged_at = torch.full((members,), -1, dtype=torch.int64, device=execution.device)
    indices = bound.population.indices.to(execution.device)
    normals = noise_source(bound.normals, keys, "train").to(execution.device)
    uniforms = noise_source(bound.uniforms, keys, "train").to(execution.device)
    outer_normals = noise_source(bound.normals, keys, "outer").to(execution.device)
    outer_uniforms = noise_source(bound.uniforms, keys, "outer").to(execution.device)
    rows = min(minibatching.batch_size or data.rows, data.rows)
    factor = torch.tensor(data.rows / rows, dtype=execution.dtype, device=execution.device)
    numbers = torch.arange(tables.steps, device=execution.device)
    kept_steps = np.unique(np.linspace(0, tables.steps - 1, min(TRACE_POINTS, tables.steps)).round().astype(int))
    keep, trace = set(kept_steps.tolist()), []
    block = steps_per_block(normals, uniforms, samples)
    against = {name: value.to(execution.device, execution.dtype) for name, value in bound.against.items()}
    weights = {
        name: value
        for name, value in (("inner", data.inner_weights), ("outer", data.outer_weights))
        if value is not None
    }
    objectives = Objectives(bound, layout, coordinates)
    setup = f"{bound.signature}|{sorted(weights)}|{execution}|{bool(whitening)}"
    rest = (against, indices.edges, indices.groups, whitening)
    ascent: OuterAscent | None = None
    if outer is not None and bool(of_h.any()):
        signature = f"{setup}|{outer.options.samples}|{data.x.shape}{data.y.shape}"
        ascent = outer_ascent(outer, objectives, signature, execution.compiled, of_h, limit, tables.steps)
    levels = 1 if outer is None else 2
    program: Program | None = None

    for begin in range(0, tables.steps, block):
        steps = numbers[begin : begin + block]
        normal_rows = normals.normals(steps, samples, execution.dtype, execution.compiled)
        uniform_rows = uniforms.uniforms(steps, samples, execution.dtype, execution.compiled)
        for offset in range(len(steps)):
            step = begin + offset
            x, y, row_weights = data.x, data.y, weights
            if rows < data.rows:
                chosen = minibatch_rows(minibatching.seed, minibatching.stage, step, data.rows, rows)
                batch = torch.from_numpy(chosen).to(execution.device)
                x, y = x.index_select(0, batch), y.index_select(0, batch)
                row_weights = {name: value.index_select(1, batch) for name, value in weights.items()}
            arguments = (
                state, first, second, diverged_at,
                numbers[step], tables.rate[step], tables.structure_moves[step], of_structure, of_h, limit,
                tables.values[step], normal_rows[offset], uniform_rows[offset], x, y, factor, row_weights, *rest,
            )  # fmt: skip
            if program is None:
                shapes = [(value.shape, value.dtype) for value in (x, y)]
                signature = f"train|{setup}|{samples}|{levels}|{shapes}"
                program = program_for(signature, make_step(objectives, levels), arguments, execution.compiled)
            terms = program(*arguments)
            if step in keep:
                trace.append(torch.stack(terms))
            if ascent is not None and (step + 1) % ascent.is_due_after == 0:
                number = numbers[len(ascent.steps)].unsqueeze(0)
                noise = (
                    source(number, ascent.level.options.samples, execution.dtype, execution.compiled)[0]
                    for source in (outer_normals.normals, outer_uniforms.uniforms)
                )
                whole = torch.ones_like(factor)
                inputs = (tables.values[step], *noise, data.x, data.y, whole, weights, *rest)
                ascent.move(state, step, inputs, of_structure & ~tables.structure_moves[step])
        if on_step is not None:
            on_step(begin + len(steps))

    values = torch.stack(trace, dim=1).double().cpu().numpy()
    trajectory = Trajectory(kept_steps, dict(zip(TERM_NAMES, values, strict=True)))
    trained = coordinates.plain(layout.unpack(state.double()), coordinates.whitening)
    reports = ascent.trace() if ascent is not None else {}
    return TrainingResult(trained, trajectory, diverged_at.cpu().numpy(), reports)


def steps_per_block(normals: NoiseSource, uniforms: NoiseSource, samples: int) -> int:
    """How many steps' random numbers are drawn in one call: enough to make the call cheap, few enough to be small."""
    length = 4 * samples * (normals.call.numel() + uniforms.call.numel())
    return max(1, min(NOISE_STEPS, NOISE_NUMBERS // max(length, 1)))


def numbers_of(layout: FlatLayout, parameters: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    """Which numbers of the flat vector belong to parameters whose names begin so, booleans (P,)."""
    flags = {
        name: torch.full_like(value, name.partition("/")[0] in names, dtype=torch.bool)
        for name, value in parameters.items()
    }
    return layout.pack(flags).bool()
