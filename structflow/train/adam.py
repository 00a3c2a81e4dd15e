"""Adam (Kingma and Ba 2015) as a pure ascent step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-8


def ascend(
    parameters: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step up: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p + rate · m̂ / (√v̂ + ε).

    m̂ = m / (1 − β₁^t) and v̂ = v / (1 − β₂^t) with t = `step` + 1. `first` and `second` are the moments m and v, of the
    shape of the parameters and zero at the start; `rate` and `step` are 0-d tensors. Returns p, m and v.
    """
    first = BETA1 * first + (1 - BETA1) * gradient
    second = next_second(second, gradient)
    return parameters + rate * (first / correction(BETA1, rate, step)) / deviation(second, step), first, second


def next_second(second: Tensor, gradient: Tensor) -> Tensor:
    """β₂v + (1−β₂)g²."""
    return BETA2 * second + (1 - BETA2) * gradient.square()


def deviation(second: Tensor, step: Tensor) -> Tensor:
    """√v̂ + ε."""
    return (second / correction(BETA2, second, step)).sqrt() + EPSILON


def correction(beta: float, like: Tensor, step: Tensor) -> Tensor:
    """1 − β^t, without cancellation in single precision."""
    return -torch.expm1((step + 1).to(like.dtype) * math.log(beta))
