"""The loop that trains a population for one stage."""

from __future__ import annotations

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
from .program import Program, prepare_compiler, program_for
from .step import make_step

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
    """Rows the members learn from, on the device: inputs (rows, *shape), targets (rows, …)."""

    x: Tensor
    y: Tensor

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
    """What a stage leaves: parameters θ and h, the trajectory, and when a member diverged (M,), −1 for never."""

    parameters: dict[str, Tensor]
    trajectory: Trajectory
    diverged_at: np.ndarray


STRUCTURE_NAMES = ("structure", "structure_temperature", "prior_structure")
"""First parts of the names of parameters of q(Γ) and p(Γ)."""

TERM_NAMES = ("log_likelihood", "kl_weights", "kl_structure")


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
) -> TrainingResult:
    """Train all members of `bound`'s population from `parameters` for as many steps as the tables have.

    `keys` (M, 2) are the members' Philox keys; `on_step` is told how many steps are done, after each block of steps.
    """
    if execution.compiled:
        prepare_compiler()
    coordinates = coordinates_for(bound, parameters, data.x, data.y)
    whitening = {name: value.to(execution.dtype) for name, value in coordinates.whitening.items()}
    start = coordinates.whitened({name: value.double().to(execution.device) for name, value in parameters.items()})
    layout = FlatLayout.of(start)
    state = layout.pack(start).to(execution.device, execution.dtype, copy=True)
    of_structure = structure_parameters(layout, start)
    first, second = torch.zeros_like(state), torch.zeros_like(state)
    members = bound.population.size
    diverged_at = torch.full((members,), -1, dtype=torch.int64, device=execution.device)
    indices = bound.population.indices.to(execution.device)
    normals = noise_source(bound.normals, keys, "train").to(execution.device)
    uniforms = noise_source(bound.uniforms, keys, "train").to(execution.device)
    rows = min(minibatching.batch_size or data.rows, data.rows)
    factor = torch.tensor(data.rows / rows, dtype=execution.dtype, device=execution.device)
    numbers = torch.arange(tables.steps, device=execution.device)
    kept_steps = np.unique(np.linspace(0, tables.steps - 1, min(TRACE_POINTS, tables.steps)).round().astype(int))
    keep, trace = set(kept_steps.tolist()), []
    block = steps_per_block(normals, uniforms, samples)
    program: Program | None = None

    for begin in range(0, tables.steps, block):
        steps = numbers[begin : begin + block]
        normal_rows = normals.normals(steps, samples, execution.dtype, execution.compiled)
        uniform_rows = uniforms.uniforms(steps, samples, execution.dtype, execution.compiled)
        for offset in range(len(steps)):
            step = begin + offset
            x, y = data.x, data.y
            if rows < data.rows:
                chosen = minibatch_rows(minibatching.seed, minibatching.stage, step, data.rows, rows)
                batch = torch.from_numpy(chosen).to(execution.device)
                x, y = x.index_select(0, batch), y.index_select(0, batch)
            arguments = (
                state, first, second, diverged_at,
                numbers[step], tables.rate[step], tables.c_reg[step], tables.c_temp[step],
                tables.structure_moves[step], of_structure,
                normal_rows[offset], uniform_rows[offset], x, y, factor, indices.edges, indices.groups, whitening,
            )  # fmt: skip
            if program is None:
                shapes = [(value.shape, value.dtype) for value in (x, y)]
                signature = f"train|{bound.signature}|{samples}|{shapes}|{execution}|{bool(whitening)}"
                program = program_for(signature, make_step(bound, layout, coordinates), arguments, execution.compiled)
            terms = program(*arguments)
            if step in keep:
                trace.append(torch.stack(terms))
        if on_step is not None:
            on_step(begin + len(steps))

    values = torch.stack(trace, dim=1).double().cpu().numpy()
    trajectory = Trajectory(kept_steps, dict(zip(TERM_NAMES, values, strict=True)))
    trained = coordinates.plain(layout.unpack(state.double()), coordinates.whitening)
    return TrainingResult(trained, trajectory, diverged_at.cpu().numpy())


def steps_per_block(normals: NoiseSource, uniforms: NoiseSource, samples: int) -> int:
    """How many steps' random numbers are drawn in one call: enough to make the call cheap, few enough to be small."""
    length = 4 * samples * (normals.call.numel() + uniforms.call.numel())
    return max(1, min(NOISE_STEPS, NOISE_NUMBERS // max(length, 1)))


def structure_parameters(layout: FlatLayout, parameters: dict[str, Tensor]) -> Tensor:
    """Which numbers of the flat vector belong to q(Γ) or p(Γ), booleans."""
    flags = {
        name: torch.full_like(value, name.partition("/")[0] in STRUCTURE_NAMES, dtype=torch.bool)
        for name, value in parameters.items()
    }
    return layout.pack(flags).bool()
