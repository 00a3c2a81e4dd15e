"""The largest eigenvalue of the Hessian, followed along trajectories by power iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .joint_derivatives import LogJoint

LARGEST_STEP = 0.68
"""β λ up to which log(1 − βλ) ≥ −βλ − (βλ)², the bound that the entropy is estimated by."""

FIRST_ITERATIONS = 20
ITERATIONS = 3
"""Power iterations at the start, and at a later look, which begins where the last one ended."""


@dataclass(frozen=True)
class Curvature:
    """|λ|_max of H for every trajectory, (M, r), from below, and the vectors (M, r, n) that found it."""

    largest: Tensor
    direction: Tensor


def curvature(joint: LogJoint, w: Tensor, step: int, phase: str, before: Curvature | None = None) -> Curvature:
    """|H v| / |v| after some iterations v ← H v / |H v|.

    |λ|_max is never below λ_max, so a limit on it is one on λ_max. `before` is that of nearby w, from which a few
    iterations are enough.
    """
    direction = joint.weights.normals(w.shape[1], f"{phase}/curvature") if before is None else before.direction
    largest = direction.norm(dim=-1)
    for _ in range(FIRST_ITERATIONS if before is None else ITERATIONS):
        direction = direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        _, _, direction = joint.product(w, direction, step)
        largest = direction.norm(dim=-1)
    return Curvature(largest, direction)
