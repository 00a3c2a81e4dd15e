"""The loop that trains a population for one stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound, Terms
from ..objective.parameters import Parameters
from .checkpoints import Checkpoints, restore, state_arrays
from .convergence import Convergence, ThetaAverages, measured
from .curved import Curved
from .entries import HYPERPARAMETERS
from .inner_method import InnerMethod, inner_method
from .mode_search import ModeSearch
from .open_stage import OpenStage, open_stage
from .outer_level import OuterLevel, outer_ascent
from .program import prepare_compiler
from .reconditioning import reconditioning
from .stage_inputs import StageSetup
from .stepping import Stepping, begun

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

    parameters: Parameters
    trajectory: Trajectory
    diverged_at: np.ndarray
    outer: dict[str, np.ndarray]
    convergence: Convergence


def train(
    bound: Bound,
    parameters: Parameters,
    setup: StageSetup,
    inner: InnerMethod | None = None,
    outer: OuterLevel | None = None,
    on_step: Callable[[int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Train all members of `bound`'s population from `parameters` for as many steps as the tables of `setup` have.

    `on_step` is told how many steps are done, after each block of steps. Without `outer` θ and h rise together by
    `inner`, by default Adam; with it θ does, and h after every so many steps of θ, or never. With `checkpoints` it goes
    on from the newest one, to the very numbers of a loop that never stopped.
    """
    levels = 1 if outer is None else outer.method.levels
    inner = inner or inner_method()
    if setup.execution.compiled:
        prepare_compiler()
    roles_of_h = HYPERPARAMETERS if outer is None else outer.roles_of_h
    stage, steps = open_stage(bound, parameters, setup, roles_of_h), setup.tables.steps
    inputs, state = stage.inputs, begun(stage.start, stage.members, inner)
    values, kept = state.optimizer
    stepping = Stepping(stage, inner, levels)
    kept_steps = np.unique(np.linspace(0, steps - 1, min(TRACE_POINTS, steps)).round().astype(int))
    keep, trace = set(kept_steps.tolist()), list[Tensor]()
    averages = ThetaAverages.of(values, steps)
    two_levels = outer is not None and levels == 2 and bool(stage.entries.of_h.any())
    ascent = outer_ascent(outer, stage, inner) if outer is not None and two_levels else None
    coordinates = reconditioning(stage) if ascent is not None and inner.momentum is not None else None
    resumable = {**state.tensors, "averages": averages.values, **({} if coordinates is None else coordinates.tensors)}
    stored = checkpoints.load() if checkpoints is not None else None
    is_whole = stored is not None and set(resumable) <= set(stored)  # an earlier version kept less
    done = restore(stored, resumable, trace, ascent) if stored is not None and is_whole else 0

    for step in range(done, steps):
        averages.before(step, values)
        if ascent is not None:
            ascent.before(step, values, kept)
        terms = stepping(state, step, inputs.at(step))
        if step in keep:
            trace.append(torch.stack(terms))
        if ascent is not None:
            ascent.after(step, values, kept)
        if coordinates is not None:
            coordinates.after(step, values, averages.values)
        if on_step is not None and ((step + 1) % inputs.block == 0 or step + 1 == steps):
            on_step(step + 1)
        if checkpoints is not None and checkpoints.is_due(step + 1, steps):
            checkpoints.save(step + 1, state_arrays(step + 1, resumable, trace, ascent))

    curves = torch.stack(trace, dim=1).double().cpu().numpy()
    trajectory = Trajectory(kept_steps, dict(zip(Terms._fields, curves, strict=True)))
    reports = ascent.trace() if ascent is not None else {}
    convergence = measured(stepping, values, averages)
    ended = stage.parameters(values)
    if outer is not None and outer.method.of_curvature:
        mode = mode_search(stage, values, outer).best()
        ended, convergence = mode.parameters, convergence.where_known(mode.left_to_gain)
    return TrainingResult(ended, trajectory, state.diverged_at.cpu().numpy(), reports, convergence)


def mode_search(stage: OpenStage, values: Tensor, outer: OuterLevel) -> ModeSearch:
    """The search from the end of a stage."""
    curved, options = Curved.at(stage, values), outer.options
    linearised = curved.evidence.linearised
    weights = stage.inputs.setup.data.weights.get("inner")
    return ModeSearch(
        linearised.vectors,
        None if weights is None else weights.double(),
        outer.roles_of_h,
        options.rate,
        (outer.method.steps(options) + 1) // 2,
    )
