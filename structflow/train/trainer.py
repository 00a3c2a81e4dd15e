"""The loop that trains a population for one stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from .checkpoints import Checkpoints, restore, state_arrays
from .convergence import Convergence, ThetaAverages, measured
from .inner_method import InnerMethod, inner_method
from .metaparameters import MetaparameterTables
from .open_stage import open_stage
from .outer_level import OuterAscent, OuterLevel, outer_ascent
from .program import prepare_compiler
from .reconditioning import reconditioning
from .stage_inputs import Execution, Minibatching, TrainingData
from .step import HYPERPARAMETER_NAMES
from .stepping import Moving, Stepping

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
    convergence: Convergence


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
    inner: InnerMethod | None = None,
    outer: OuterLevel | None = None,
    largest_log_concentration: float | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Train all members of `bound`'s population from `parameters` for as many steps as the tables have.

    `keys` (M, 2) are the members' Philox keys; `on_step` is told how many steps are done, after each block of steps.
    Without `outer` θ and h rise together by `inner`, by default Adam; with it θ does, and h after every so many steps
    of θ, or never. log s of q(Γ) and p(Γ) stays within ± `largest_log_concentration`. With `checkpoints` it goes on
    from the newest one, to the very numbers of a loop that never stopped.
    """
    levels = 1 if outer is None else outer.method.levels
    inner = inner or inner_method()
    if execution.compiled:
        prepare_compiler()
    names_of_h = HYPERPARAMETER_NAMES if outer is None else outer.names_of_h
    stage = open_stage(
        bound, parameters, keys, data, tables, samples, minibatching, execution, largest_log_concentration, names_of_h
    )
    state, inputs = stage.start, stage.inputs
    moving = Moving.of(state, bound.population.size, inner)
    stepping = Stepping(stage, inner, levels, samples)
    kept_steps = np.unique(np.linspace(0, tables.steps - 1, min(TRACE_POINTS, tables.steps)).round().astype(int))
    keep, trace = set(kept_steps.tolist()), list[Tensor]()
    averages = ThetaAverages.of(state, tables.steps)
    ascent: OuterAscent | None = None
    if outer is not None and levels == 2 and bool(stage.of_h.any()):
        ascent = outer_ascent(outer, stage, inner)
    coordinates = reconditioning(stage) if ascent is not None and inner.momentum is not None else None
    resumable = {**moving.tensors, "averages": averages.values, **({} if coordinates is None else coordinates.tensors)}
    stored = checkpoints.load() if checkpoints is not None else None
    is_whole = stored is not None and set(resumable) <= set(stored)  # an earlier version kept less
    done = restore(stored, resumable, trace, ascent) if stored is not None and is_whole else 0

    for step in range(done, tables.steps):
        averages.before(step, state)
        if ascent is not None:
            ascent.before(step, state, moving.kept)
        terms = stepping(moving, step, inputs.at(step))
        if step in keep:
            trace.append(torch.stack(terms))
        if ascent is not None:
            ascent.after(step, state, moving.kept)
        if coordinates is not None:
            coordinates.after(step, state, averages.values)
        if on_step is not None and ((step + 1) % inputs.block == 0 or step + 1 == tables.steps):
            on_step(step + 1)
        if checkpoints is not None and checkpoints.is_due(step + 1, tables.steps):
            checkpoints.save(step + 1, state_arrays(step + 1, resumable, trace, ascent))

    values = torch.stack(trace, dim=1).double().cpu().numpy()
    trajectory = Trajectory(kept_steps, dict(zip(TERM_NAMES, values, strict=True)))
    reports = ascent.trace() if ascent is not None else {}
    convergence = measured(stepping, keys, state, averages)
    diverged_at = moving.diverged_at.cpu().numpy()
    return TrainingResult(stage.parameters(state), trajectory, diverged_at, reports, convergence)
