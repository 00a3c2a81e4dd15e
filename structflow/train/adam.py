"""Adam (Kingma and Ba 2015) as a pure ascent step on a dictionary of tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-8


@dataclass(frozen=True)
class AdamState:
    """First and second moments of the gradients, keyed as the parameters."""

    first: dict[str, Tensor]
    second: dict[str, Tensor]


def start_adam(parameters: dict[str, Tensor]) -> AdamState:
    """Moments of zero."""
    return AdamState(
        {name: torch.zeros_like(value) for name, value in parameters.items()},
        {name: torch.zeros_like(value) for name, value in parameters.items()},
    )


def ascend(
    parameters: dict[str, Tensor], gradients: dict[str, Tensor], state: AdamState, rate: Tensor, step: Tensor
) -> tuple[dict[str, Tensor], AdamState]:
    """One step up: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p + rate · m̂ / (√v̂ + ε).

    m̂ = m / (1 − β₁^t) and v̂ = v / (1 − β₂^t) with t = `step` + 1; `rate` and `step` are 0-d tensors.
    """
    t = (step + 1).to(rate.dtype)
    correction1 = -torch.expm1(t * math.log(BETA1))  # 1 − β^t without cancellation in single precision
    correction2 = -torch.expm1(t * math.log(BETA2))
    first, second, ascended = {}, {}, {}
    for name, gradient in gradients.items():
        first[name] = BETA1 * state.first[name] + (1 - BETA1) * gradient
        second[name] = BETA2 * state.second[name] + (1 - BETA2) * gradient.square()
        scale = (second[name] / correction2).sqrt() + EPSILON
        ascended[name] = parameters[name] + rate * (first[name] / correction1) / scale
    return ascended, AdamState(first, second)
