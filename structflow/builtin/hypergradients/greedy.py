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
    gradient-based tuning of continuous regularization hyperparameters" (2016). θ → θ⁺ is the step that was just taken,
    and β its size, that of Adam number by number. It costs one gradient of the size of an inner step's, since the
    mixed derivative takes the divergence from the prior alone.
    """

    type = "greedy"
    Options = GreedyOptions
    levels = 2
    looks_back = True
    flat = True

    @staticmethod
    def cost(options: GreedyOptions, samples: int) -> float:
        return 1.4 * options.samples / samples

    @staticmethod
    def gradient(options: GreedyOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        of_q = point.outer_gradient()
        step = torch.where(point.of_theta, point.sizes(of_q) * of_q, torch.zeros_like(of_q))
        total = of_q - point.previous.mixed_product(step)
        return OuterGradient(torch.where(point.of_theta, torch.zeros_like(total), total))
