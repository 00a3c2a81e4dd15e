"""The loop that trains a population for one stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from .checkpoints import Checkpoints, restore, state_arrays
from .inner_method import ADAM, InnerMethod
from .metaparameters import MetaparameterTables
from .open_stage import open_stage
from .outer_level import OuterAscent, OuterLevel, outer_ascent
from .program import Program, prepare_compiler, program_for
from .reconditioning import reconditioning
from .stage_inputs import Execution, Minibatching, TrainingData
from .step import make_step

TRACE_POINTS = 100
"""Points of the trajectory that are kept of a stage."""


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
    inner: InnerMethod = ADAM,
    outer: OuterLevel | None = None,
    largest_log_concentration: float | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Train all members of `bound`'s population from `parameters` for as many steps as the tables have.

    `keys` (M, 2) are the members' Philox keys; `on_step` is told how many steps are done, after each block of steps.
    Without `outer` θ and h rise together by `inner`; with it θ does, and h after every so many steps of θ, or never.
    log s of q(Γ) and p(Γ) stays within ± `largest_log_concentration`. With `checkpoints` it goes on from the newest
    one, to the very numbers of a loop that never stopped.
    """
    levels = 1 if outer is None else outer.method.levels
    if execution.compiled:
        prepare_compiler()
    stage = open_stage(
        bound, parameters, keys, data, tables, samples, minibatching, execution, largest_log_concentration
    )
    state, inputs = stage.start, stage.inputs
    first, second = torch.zeros_like(state), torch.zeros_like(state)
    diverged_at = torch.full((bound.population.size,), -1, dtype=torch.int64, device=execution.device)
    numbers = torch.arange(tables.steps, device=execution.device)
    kept_steps = np.unique(np.linspace(0, tables.steps - 1, min(TRACE_POINTS, tables.steps)).round().astype(int))
    keep, trace = set(kept_steps.tolist()), list[Tensor]()
    ascent: OuterAscent | None = None
    if outer is not None and levels == 2 and bool(stage.of_h.any()):
        ascent = outer_ascent(outer, stage, inner)
    coordinates = reconditioning(stage) if ascent is not None and inner.type == "sgd" else None
    program: Program | None = None
    resumable = {"state": state, "first": first, "second": second, "diverged_at": diverged_at}
    resumable.update({} if coordinates is None else coordinates.tensors)
    stored = checkpoints.load() if checkpoints is not None else None
    done = 0 if stored is None else restore(stored, resumable, trace, ascent)

    for step in range(done, tables.steps):
        if ascent is not None:
            ascent.before(step, state, first)
        point = inputs.at(step)
        arguments = (
            state, first, second, diverged_at, numbers[step], tables.rate[step], tables.structure_moves[step],
            stage.of_structure, stage.of_h, stage.limit, *point,
        )  # fmt: skip
        if program is None:
            shapes = [(value.shape, value.dtype) for value in point[3:5]]
            signature = f"train|{stage.setup}|{samples}|{levels}|{inner}|{shapes}"
            function = make_step(stage.objectives, levels, inner)
            program = program_for(signature, function, arguments, execution.compiled)
        terms = program(*arguments)
        if step in keep:
            trace.append(torch.stack(terms))
        if ascent is not None:
            ascent.after(step, state, second)
        if coordinates is not None:
            coordinates.after(step, state)
        if on_step is not None and ((step + 1) % inputs.block == 0 or step + 1 == tables.steps):
            on_step(step + 1)
        if checkpoints is not None and checkpoints.is_due(step + 1, tables.steps):
            checkpoints.save(step + 1, state_arrays(step + 1, resumable, trace, ascent))

    values = torch.stack(trace, dim=1).double().cpu().numpy()
    trajectory = Trajectory(kept_steps, dict(zip(TERM_NAMES, values, strict=True)))
    reports = ascent.trace() if ascent is not None else {}
    return TrainingResult(stage.parameters(state), trajectory, diverged_at.cpu().numpy(), reports)
