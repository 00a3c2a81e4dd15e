"""How θ moves up its gradient: the inner optimiser as a pure step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from . import adam


@dataclass(frozen=True)
class InnerMethod:
    """Adam, or gradient steps with momentum μ: v ← μ v + g, p ← p + rate · v.

    `first` and `second` are the state, of the shape of the parameters and zero at the start: Adam's moments, or the
    velocity v and nothing.
    """

    type: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.0

    def ascend(
        self, parameters: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step up: the parameters and the state after it; `rate` and `step` are 0-d tensors."""
        if self.type == "adam":
            return adam.ascend(parameters, gradient, first, second, rate, step)
        velocity = self.momentum * first + gradient
        return parameters + rate * velocity, velocity, second

    def step_sizes(self, second: Tensor, gradient: Tensor, rate: Tensor, step: Tensor) -> Tensor:
        """How far a number moves in the end for a unit of its gradient, (P,): β/(1 − μ), or Adam's rate / (√v̂ + ε).

        Adam's v̂ takes in the `gradient` (P,) that the step is for, as in a step: without it a number that stood still,
        whose v is next to 0, would be sent away by the first gradient that it gets.
        """
        if self.type == "adam":
            return rate / adam.deviation(adam.next_second(second, gradient), step + 1)
        return (rate / (1 - self.momentum)).expand_as(second)


ADAM = InnerMethod()
