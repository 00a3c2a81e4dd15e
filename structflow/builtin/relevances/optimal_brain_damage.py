"""What the loss rises by when a weight is removed, to second order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Relevance, WeightVectors

if TYPE_CHECKING:
    from torch import Tensor

MOST_NUMBERS = 2_000_000
"""Outputs that are differentiated at a time: it bounds memory, never what is computed."""


class OptimalBrainDamage(Relevance):
    """½ H_ii w_i² at w = μ, with H the Hessian of the loss −log p(y | X, w): the rise of the loss without w_i.

    Interactions between weights are left out, and so is the gradient, which is 0 at an optimum of the loss. LeCun,
    Denker and Solla, "Optimal brain damage" (1990).
    """

    type = "optimal_brain_damage"

    @staticmethod
    def scores(options: Any, weights: WeightVectors, kept: Tensor) -> Tensor:
        """½ H_ii μ_i²."""
        at = weights.mean.where(kept, 0.0)
        return 0.5 * loss_hessian_diagonal(weights, at) * at.square()


def loss_hessian_diagonal(weights: WeightVectors, at: Tensor) -> Tensor:
    """H_ii = ∂²(−log p(y | X, w)) / ∂w_i² at w (M, n), exactly: (M, n), by one Hessian-vector product a weight.

    The products with many unit vectors are taken at once, each at a copy of w of its own.
    """
    import torch
    from torch.func import grad

    members, size = at.shape
    most = max(1, MOST_NUMBERS // max(1, members * max(weights.rows, size)))
    numbers = torch.arange(size, device=at.device)

    def loss(points: Tensor) -> Tensor:
        return -weights.log_likelihood(points).sum()

    parts = []
    for chosen in numbers.split(most):
        points = at.unsqueeze(1).expand(-1, len(chosen), -1)
        units = torch.nn.functional.one_hot(chosen, size).to(at.dtype).expand_as(points)
        product = grad(lambda at_points, along: (grad(loss)(at_points) * along).sum())(points, units)
        parts.append((product * units).sum(-1))
    return torch.cat(parts, dim=1)
