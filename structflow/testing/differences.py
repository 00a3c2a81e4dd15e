"""Derivatives against central differences, along a direction at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import grad

from .check import Complaint
from .numbers import Weights, normal

STEP = 1e-6
"""Half the distance of a central difference."""

ALLOWED = 1e-5
"""Relative error that it may have in float64."""


def expect_gradients(value: Callable[[Weights], Tensor], points: Mapping[int, Weights], what: str) -> None:
    """Complain where the gradient of a number isn't that of central differences, by name, at any of the points.

    A kink within the step is bad luck that hardly occurs twice: a name is reported only if it is wrong at all points.
    `points` are tensors by name, by the seed of the direction.
    """
    wrong: dict[str, list[str]] = {}
    for seed, point in points.items():
        slopes: Weights = grad(value)(point)
        for number, (name, at) in enumerate(point.items()):
            direction = normal(*at.shape, seed=1000 * seed + number)
            direction = direction / direction.norm().clamp(min=1e-300)
            sides = [value({**point, name: at + sign * STEP * direction}) for sign in (1, -1)]
            difference = float((sides[0] - sides[1]) / (2 * STEP))
            found = float((slopes[name] * direction).sum())
            scale = max(1.0, abs(difference), 1e-6 * abs(float(sides[0])))
            if not abs(found - difference) <= ALLOWED * scale:
                said = f"{what} by {name} is {found:.6g} along a direction; central differences give {difference:.6g}"
                wrong.setdefault(name, []).append(said)
    for complaints in wrong.values():
        if len(complaints) == len(points):
            raise Complaint(complaints[0])


def is_right(value: Callable[[Weights], Tensor], points: Mapping[int, Weights]) -> bool:
    """Whether gradients are those of central differences at the points."""
    try:
        expect_gradients(value, points, "gradient")
    except Complaint:
        return False
    return True


def flattened(tensor: Tensor) -> Tensor:
    """A smooth number that depends on every element of a tensor: Σ a_i v_i with a_i = cos i."""
    a = torch.arange(tensor.numel(), dtype=tensor.dtype, device=tensor.device).cos().reshape(tensor.shape)
    return (a * tensor).sum()
