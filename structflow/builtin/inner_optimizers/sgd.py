"""Gradient steps with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import InnerOptimizer, InnerOptions, MemberNumbers

if TYPE_CHECKING:
    from torch import Tensor


class SgdOptions(InnerOptions):
    """Keys of `optimizer.inner` with `type: sgd`."""

    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum μ.")


class Sgd(InnerOptimizer):
    """Gradient steps: v ← μ v + ∇L, θ ← θ + rate · v."""

    type = "sgd"
    Options = SgdOptions
    has_step_sizes = True

    @staticmethod
    def start(options: SgdOptions, parameters: Tensor) -> dict[str, Tensor]:
        return {"velocity": parameters.new_zeros(parameters.shape)}

    @staticmethod
    def ascend(
        options: SgdOptions,
        parameters: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        rate: Tensor,
        step: Tensor,
        members: MemberNumbers,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = options.momentum * state["velocity"] + gradient
        return parameters + rate * velocity, {"velocity": velocity}

    @staticmethod
    def step_sizes(
        options: SgdOptions, state: dict[str, Tensor], gradient: Tensor, rate: Tensor, step: Tensor
    ) -> Tensor:
        return (rate / (1 - options.momentum)).expand_as(gradient)

    @staticmethod
    def momentum(options: SgdOptions) -> float:
        return options.momentum
