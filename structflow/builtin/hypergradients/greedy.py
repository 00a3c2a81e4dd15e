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
    """d/dh Q(T(θ, h), h) = ∇_h Q(θ⁺, h) − (∇²_{θh}(−L))ᵀ (β ∇_θ Q(θ⁺, h)) with θ⁺ = T(θ, h) = θ + β ∇_θ L(θ, h).

    "T1 − T2": what h does to θ before the last step is left out, as if H were the identity. Luketina et al., "Scalable
    gradient-based tuning of continuous regularization hyperparameters" (2016). θ⁺ is where the step of θ just led, and
    the mixed derivative is taken there instead of at θ, so that one gradient is enough; β is the size of a step of the
    inner method, that of Adam number by number.
    """

    type = "greedy"
    Options = GreedyOptions
    levels = 2
    flat = True

    @staticmethod
    def gradient(options: GreedyOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        of_q = point.outer_gradient()
        step = torch.where(point.of_theta, point.sizes(of_q) * of_q, torch.zeros_like(of_q))
        total = of_q - point.mixed_product(step)
        return OuterGradient(torch.where(point.of_theta, torch.zeros_like(total), total))
