"""Members that are linear in their weights start at the maximum of L, and end nowhere worse.

In between they are trained beside the others, for the sake of what moves on the way: schedules, hyperparameters under
two levels. What is known at the start and at the end is the maximum itself, in float64, also where the scales of the
data are such that steps in single precision lose it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..objective.bound import Bound
from ..objective.parameters import Parameters
from .linear_curvature import above, climb
from .linear_hyperparameters import LinearFit, LinearProblem, around
from .linear_optimum import changed, precision_from, promised
from .linear_starts import best_fit
from .linear_structures import Level, linear_structures

HIGHER = 1e-3
"""Nats by which training must end above its start for that to be another maximum's slope, which is then climbed."""

AT_SADDLE = 1.0
"""Nats that are left to gain at a saddle at least: the fits beside it show but the beginning of the way up."""


def start_at_posterior(bound: Bound, parameters: Parameters, level: Level) -> Parameters:
    """The parameters with linear members at the maximum of L; a member that is better where it is stays there.

    What is searched for are q(w), the likelihood's own parameters and, with `level.c_train`, the learned precisions.
    """
    started = in_double(parameters, level.x.device)
    for structure in linear_structures(bound, level):
        known: dict[tuple[bytes, ...], LinearFit] = {}
        for member in structure.members.numbers:
            problem = structure.problem(started, member)
            given = structure.given(started, member, problem)
            key = key_of(problem, given)
            if key not in known:
                known[key] = best_fit(problem, given)
            if given.value <= known[key].value > -torch.inf:
                structure.put(started, member, known[key])
    return started


def end_at_posterior(
    bound: Bound, started: Parameters, trained: Parameters, level: Level, moved: bool
) -> tuple[Parameters, Tensor]:
    """The trained parameters with linear members at the best of where training started and ended.

    With `moved` the maximum isn't that of the start any more, because h, c_reg or the weights in use changed on the
    way: it is recomputed, from where training ended. Second come the nats that each member has still to gain from
    there, (M,), NaN for members that were left as they were trained.
    """
    ended, before = in_double(trained, level.x.device), in_double(started, level.x.device)
    left = torch.full((bound.population.size,), torch.nan, dtype=torch.float64)
    for structure in linear_structures(bound, level):
        if not structure.whole:
            continue
        known: dict[tuple[bytes, ...], float] = {}
        for member in structure.members.numbers:
            problem = structure.problem(ended, member)
            found = [structure.given(ended, member, problem)]
            if not moved or level.c_train is not None:  # under two levels h has to stay where it is
                found.append(structure.given(before, member, problem))
            if moved or (problem.moves_precisions and found[0].value > found[-1].value + HIGHER):
                found.insert(1, polished(problem, found[0]))
            best = max(reversed(found), key=lambda fit: fit.value)
            if best.value > -torch.inf:
                structure.put(ended, member, best)
                key = (*key_of(problem, best), best.q.mean.cpu().numpy().tobytes())
                if key not in known:
                    known[key] = left_to_gain(problem, best)
                left[member] = known[key]
    return ended, left


def polished(problem: LinearProblem, given: LinearFit) -> LinearFit:
    """The maximum that is reached from the hyperparameters of a fit."""
    start = problem.best_q(given.own, given.log_precisions)
    if not problem.learns_own and not problem.moves_precisions:
        return start
    return climb(problem, start, around(given))


def left_to_gain(problem: LinearProblem, fit: LinearFit) -> float:
    """About how far L is below its maximum, by a quadratic model in μ, the precision of q, and hyperparameters.

    The first is half the squared Newton decrement, ½ gᵀH⁻¹g. At a saddle no such model tells how far: `AT_SADDLE` at
    least.
    """
    objective, gain = problem.objective(fit.own, fit.log_precisions), 0.0
    if problem.model.size:
        slopes = objective.slopes(fit.q)
        gain += 0.5 * promised(objective, fit.q, slopes, objective.newton(fit.q, slopes))
        if fit.q.spread is not None:
            gain += changed(precision_from(fit.q), objective.precision_of(slopes), objective.c_of_spread)
    if problem.learns_own or problem.moves_precisions:
        gain += 0.5 * float(problem.gradient(fit).square() @ problem.scales(fit))
    beside = above(problem, fit, around(fit)) if problem.moves_precisions else None
    return gain if beside is None else max(gain, beside.value - fit.value, AT_SADDLE)


def key_of(problem: LinearProblem, given: LinearFit) -> tuple[bytes, ...]:
    """What the best fit of a member of a structure depends on."""
    values = (problem.model.counts, problem.kept, given.log_precisions, *given.own.values())
    return tuple(value.cpu().numpy().tobytes() for value in values)


def in_double(parameters: Parameters, device: torch.device) -> Parameters:
    """A copy of the parameters in float64 on a device."""
    return parameters.map(lambda value: value.to(device, torch.float64, copy=True))
