"""Where the search for the hyperparameters of a linear model begins, and the best that it finds from there.

L maximised over q may have several maxima: little noise and a weak prior, much noise and a strong one, or one function
in place of another that explains the same. So the search begins at the best of some precisions, set against what the
data say of the weights, after a few steps from each; and from where it arrives single precisions jump as far.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .linear_curvature import climb
from .linear_hyperparameters import MOST_STEPS, LinearFit, LinearProblem, around, ascend, vector_of
from .linear_model import Gaussian, LinearModel, Own

FIRST_STEPS = 3
"""Steps of the ascent that the candidates of its start are compared after."""

RATIOS = (1e-4, 1e-1, 1e2)
"""Precisions of the prior, in parts of the precision that the data give a weight, that the search may begin at."""

FREE, CLOSED = 1e-2, 1e2
"""The same for one precision that is let free while the prior closes all others."""

APART = math.log(10)
"""The difference of logarithms from which on the least precision of data is tried besides the mean."""

MOST_ALONE = 8
"""Precisions up to which one after the other is let free."""

JUMPS = (*RATIOS, 1e6)
MOST_JUMPING = 32
"""What single precisions may jump to, in the same parts; the last one is next to removing the weight. Up to so many."""

WORTH_A_JUMP = 1e-3
"""Nats that a jump has to gain."""

MOST_ROUNDS = 10
"""Rounds of jumps at most."""


def best_fit(problem: LinearProblem, given: LinearFit) -> LinearFit:
    """The best fit that is found from the hyperparameters of the `given` one and others."""
    if not problem.learns_own and not problem.moves_precisions:
        return problem.best_q(given.own, given.log_precisions)
    own, limits = given.own, around(given)
    candidates = [(own, given.log_precisions)]
    if problem.learns_own:
        own = suited_to_offset(problem, given)
        limits = around(LinearFit(given.q, own, given.log_precisions, 0.0))
        candidates.append((own, given.log_precisions))
    if problem.moves_precisions:
        candidates += [(own, start) for start in starting_precisions(problem, own, given.log_precisions)]
    starts = [problem.best_q(*candidate) for candidate in candidates]
    reached = [ascend(problem, start, FIRST_STEPS, limits) for start in starts if math.isfinite(start.value)]
    if not reached:
        return given
    return jumped(problem, climb(problem, max(reached, key=lambda fit: fit.value), limits), limits)


def suited_to_offset(problem: LinearProblem, given: LinearFit) -> Own:
    """The likelihood's own parameters that suit f = b best, as for a model whose weights are all 0."""
    model = problem.model
    empty = LinearModel(model.likelihood, model.features[:0], model.offset, model.y, model.counts)
    alone = LinearProblem(
        empty, problem.kept[:0], problem.c, problem.family, problem.owner[:0], None, None, problem.learns_own
    )
    start = alone.best_q(given.own, given.log_precisions)
    return ascend(alone, start, MOST_STEPS, around(start)).own if math.isfinite(start.value) else given.own


def starting_precisions(problem: LinearProblem, own: Own, given: Tensor) -> list[Tensor]:
    """Log precisions at `RATIOS` of what the data give a weight, for all or, where they are few, for all but one."""
    none = problem.family.point(torch.zeros_like(problem.kept))
    mean, least = precisions_of_data(problem, own, none, given)
    bases = [mean, least] if bool((mean - least > APART).any()) else [mean]
    starts = [base + math.log(ratio) for base in bases for ratio in RATIOS]
    if 1 < len(given) <= MOST_ALONE:
        starts += [
            (mean + math.log(CLOSED)).index_fill(0, place, float(base[place]) + math.log(FREE))
            for place in torch.arange(len(given), device=given.device)
            for base in bases
        ]
    return starts


def precisions_of_data(problem: LinearProblem, own: Own, q: Gaussian, given: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the mean and of the least of diag Φ C Φᵀ / c over the weights of each log precision, with C at q.

    Weights under one precision may be of features of different sizes, such as squares of small inputs beside a bias.
    Where they aren't above 0, they are the `given` log precisions.
    """
    model = problem.model
    slopes = model.slopes(own, model.output(q.mean), model.output_spread(q))
    of_weights = model.diagonal_curvature(slopes.curvature) / problem.c
    positive = torch.where(of_weights > 0, of_weights, torch.inf)
    numbers = torch.zeros_like(given).index_add(0, problem.owner, torch.ones_like(of_weights))
    mean = torch.zeros_like(given).index_add(0, problem.owner, of_weights) / numbers
    least = torch.full_like(given, torch.inf).scatter_reduce(0, problem.owner, positive, "amin")
    usable = mean.isfinite() & (mean > 0)
    return torch.where(usable, mean.log(), given), torch.where(usable, least.log(), given)


def jumped(problem: LinearProblem, fit: LinearFit, limits: Tensor) -> LinearFit:
    """The best fit that is reached by jumps of single precisions, and the way up from there.

    There are none where the nearest q of a family takes a search of its own, as one of low rank does.
    """
    quick = problem.family.independent or problem.family.posterior.plugin.unrestricted
    if not problem.moves_precisions or not quick or not 1 < len(fit.log_precisions) <= MOST_JUMPING:
        return fit
    first = len(vector_of(fit)) - len(fit.log_precisions)
    for _ in range(MOST_ROUNDS):
        before = fit
        mean, _ = precisions_of_data(problem, fit.own, fit.q, fit.log_precisions)
        for place in range(len(mean)):
            vectors = [vector_of(fit) for _ in JUMPS]
            for vector, ratio in zip(vectors, JUMPS, strict=True):
                vector[first + place] = mean[place] + math.log(ratio)
            best = max((problem.at(fit, vector) for vector in vectors), key=lambda each: each.value)
            fit = best if best.value > fit.value + WORTH_A_JUMP else fit
        if fit is before:
            break
        fit = climb(problem, fit, limits)
    return fit
