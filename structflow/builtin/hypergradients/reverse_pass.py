"""The derivative of Q(θ_η, h) by h through the steps of θ, backwards, given where θ was at each of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import InnerPath, TwoLevelPoint


class Visited(NamedTuple):
    """A step τ taken backwards: where θ_τ and h stood (P,), its rate (0-d or P,) and its momentum."""

    step: int
    at: Tensor
    rate: Tensor
    momentum: float


def forwards(path: InnerPath, step: int, at: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
    """θ (with h beside it) and its velocity after a step, (P,) each."""
    velocity = path.momentum * velocity + path.gradient(step, at)
    return at + path.rate(step) * velocity, velocity


def through_steps(point: TwoLevelPoint, visited: Iterable[Visited]) -> Tensor:
    """dQ/dh, (P,) and zero along θ, from steps in reverse order, τ = η − 1, …, 0.

    With the adjoints a of θ and u of the velocity: a = ∇_θ Q, u = 0 and d = ∇_h Q at the end, then for each step
    u ← u + β a; a ← a + ∇²_θθ L u; d ← d + (∇²_{θh} L)ᵀ u; u ← μ u. Maclaurin, Duvenaud and Adams, "Gradient-based
    hyperparameter optimization through reversible learning" (2015), algorithm 2.
    """
    import torch

    of_q = point.outer_gradient()
    none = torch.zeros_like(of_q)
    moves = point.path.moves
    of_theta = torch.where(moves, of_q, none)
    of_h = torch.where(moves, none, of_q)
    of_velocity = none
    for step, at, rate, momentum in visited:
        of_velocity = of_velocity + rate * of_theta
        product = point.path.curvature_product(step, at, of_velocity)
        of_theta = of_theta - torch.where(moves, product, none)
        of_h = of_h - torch.where(moves, none, product)
        of_velocity = momentum * of_velocity
    return torch.where(point.of_theta, none, of_h)
