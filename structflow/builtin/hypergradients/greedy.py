"""The derivative through the next step of θ alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions

if TYPE_CHECKING:
    from ...plugins import TwoLevelPoint


class GreedyOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: greedy`."""

    every: int = Field(1, ge=1, description="Steps of θ between two steps of h.")
    samples: int = Field(1, ge=1, description="Monte Carlo samples of q for one hypergradient, held within it.")


class Greedy(Hypergradient):
    """d/dh Q(T(θ, h), h) = ∇_h Q(θ⁺, h) − (∇²_{θh}(−L)(θ, h))ᵀ (β ∇_θ Q(θ⁺, h)) with θ⁺ = T(θ, h) = θ + β ∇_θ L(θ, h).

    "T1 − T2": what h does to θ before the last step is left out, as if H were the identity. Luketina et al., "Scalable
    gradient-based tuning of continuous regularization hyperparameters" (2016). β is the size of a step of the inner
    method, that of Adam number by number. It costs three gradients of the size of an inner step's.
    """

    type = "greedy"
    Options = GreedyOptions
    levels = 2

    @staticmethod
    def gradient(options: GreedyOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        slope = point.inner_gradient()
        none = torch.zeros_like(slope)
        sizes = torch.where(point.of_theta, point.step_sizes, none)
        of_q = point.after(sizes * slope).outer_gradient()
        total = of_q - point.curvature_product(sizes * of_q)
        return OuterGradient(torch.where(point.of_theta, none, total))
