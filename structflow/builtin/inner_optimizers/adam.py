"""Adam (Kingma and Ba 2015) as a pure ascent step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...plugins import InnerOptimizer, InnerOptions, MemberNumbers

if TYPE_CHECKING:
    from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-8


class Adam(InnerOptimizer):
    """m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ + rate · m̂ / (√v̂ + ε). Kingma and Ba (2015).

    m̂ = m / (1 − β₁^t) and v̂ = v / (1 − β₂^t) after t steps; β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    """

    type = "adam"
    has_step_sizes = True

    @staticmethod
    def start(options: InnerOptions, parameters: Tensor) -> dict[str, Tensor]:
        return {"first": parameters.new_zeros(parameters.shape), "second": parameters.new_zeros(parameters.shape)}

    @staticmethod
    def ascend(
        options: InnerOptions,
        parameters: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        rate: Tensor,
        step: Tensor,
        members: MemberNumbers,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        first = BETA1 * state["first"] + (1 - BETA1) * gradient
        second = next_second(state["second"], gradient)
        moved = parameters + rate * (first / correction(BETA1, rate, step)) / deviation(second, step)
        return moved, {"first": first, "second": second}

    @staticmethod
    def step_sizes(
        options: InnerOptions, state: dict[str, Tensor], gradient: Tensor, rate: Tensor, step: Tensor
    ) -> Tensor:
        # with the gradient of the step taken in: a number that stood still, whose v is next to 0, isn't sent away by it
        return rate / deviation(next_second(state["second"], gradient), step)


def next_second(second: Tensor, gradient: Tensor) -> Tensor:
    """β₂v + (1−β₂)g²."""
    return BETA2 * second + (1 - BETA2) * gradient.square()


def deviation(second: Tensor, step: Tensor) -> Tensor:
    """√v̂ + ε after step number `step`."""
    return (second / correction(BETA2, second, step)).sqrt() + EPSILON


def correction(beta: float, like: Tensor, step: Tensor) -> Tensor:
    """1 − β^(step + 1), without cancellation in single precision."""
    return -((step + 1).to(like.dtype) * math.log(beta)).expm1()
