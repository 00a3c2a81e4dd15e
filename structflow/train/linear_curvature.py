"""Saddles of V(h), L of a model that is linear in its weights maximised over q, and the ways up from them.

At a maximum ∇V = 0 and ∇²V has no positive eigenvalue. The first alone is what an ascent reaches: where two columns of
the features are equal, so are the gradients by their precisions, and it ends where both are, though V rises as soon as
one takes over what the other explains. ∇²V v is a central difference of ∇V, and the largest eigenvalue is found from a
few of them, in units of h in which curvatures are about −1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .linear_hyperparameters import MOST_STEPS, TO_GAIN, LinearFit, LinearProblem, ascend, pressed, vector_of, within
from .linear_optimum import enough

MOST_PRODUCTS = 24
"""Products with ∇²V at most: of so many hyperparameters or fewer every eigenvalue is found."""

REACH = 0.03
"""The largest change of a hyperparameter in the differences."""

UPWARD = 1e-3
"""An eigenvalue of ∇²V that is no rounding, in units in which those of what the data determine are about −1."""

SURE = 0.1
"""The residual, as a share of the eigenvalue, at which a direction is good enough."""

ROUNDING = 1e-6
"""A share of a product that its part outside the space must exceed."""

SIDESTEPS = (1.0, 0.3, 0.1)
"""Steps away from a saddle, by the largest change of a hyperparameter."""

MOST_SADDLES = 20
"""Saddles that are left at most, one after the other."""


def climb(problem: LinearProblem, fit: LinearFit, limits: Tensor) -> LinearFit:
    """The maximum over hyperparameters within `limits` (2, …) and q that is reached from a fit, by no saddle."""
    fit = ascend(problem, fit, MOST_STEPS, limits)
    for _ in range(MOST_SADDLES):
        beside = above(problem, fit, limits)
        if beside is None:
            break
        fit = ascend(problem, beside, MOST_STEPS, limits)
    return fit


def above(problem: LinearProblem, fit: LinearFit, limits: Tensor) -> LinearFit | None:
    """The highest fit to either side of a saddle; None at a maximum, or if nothing there is higher."""
    direction = upward(problem, fit, limits)
    if direction is None:
        return None
    for length in SIDESTEPS:
        sides = [problem.at(fit, within(vector_of(fit) + sign * length * direction, limits)) for sign in (1, -1)]
        highest = max(sides, key=lambda side: side.value)
        if highest.value > fit.value + TO_GAIN + enough(fit.value):
            return highest
    return None


def upward(problem: LinearProblem, fit: LinearFit, limits: Tensor) -> Tensor | None:
    """The direction in which V curves upwards most, with a largest part of 1; None where it curves upwards in none.

    By Rayleigh and Ritz over the Krylov space of a vector that is the same every time; it stops once it is sure.
    """
    scales = problem.scales(fit)
    free = ~pressed(vector_of(fit), problem.gradient(fit), limits) & (scales > 0)
    units = torch.where(free, scales.sqrt(), 0.0)
    most = min(int(free.sum()), MOST_PRODUCTS)
    if most < 2:  # on a line an ascent ends at no saddle
        return None
    begin = torch.randn(len(free), generator=torch.Generator().manual_seed(0), dtype=units.dtype).to(units.device)
    basis, images = units.new_zeros((0, len(free))), units.new_zeros((0, len(free)))
    following = begin * free
    while True:
        basis = torch.cat([basis, (following / following.norm()).unsqueeze(0)])
        images = torch.cat([images, curvature_along(problem, fit, units, basis[-1]).unsqueeze(0)])
        if not bool(images[-1].isfinite().all()):
            return None
        small = basis @ images.mT
        values, vectors = torch.linalg.eigh((small + small.mT) / 2)
        largest, parts = float(values[-1]), vectors[:, -1]
        rest = float((parts @ images - largest * (parts @ basis)).norm())
        following = images[-1] - (images[-1] @ basis.mT) @ basis
        following = following - (following @ basis.mT) @ basis
        is_sure = largest > UPWARD and rest < SURE * largest
        if is_sure or len(basis) == most or float(following.norm()) <= ROUNDING * float(images[-1].norm()):
            break
    if largest <= UPWARD:
        return None
    direction: Tensor = units * (parts @ basis)
    return direction / direction.abs().max()


def curvature_along(problem: LinearProblem, fit: LinearFit, units: Tensor, vector: Tensor) -> Tensor:
    """∇²V v in units of h, by a central difference of ∇V."""
    direction = units * vector
    length = REACH / direction.abs().max()
    sides = [problem.at(fit, vector_of(fit) + sign * length * direction) for sign in (1, -1)]
    return units * (problem.gradient(sides[0]) - problem.gradient(sides[1])) / (2 * length)
