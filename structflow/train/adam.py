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
    t = (step + 1).to(rate.dtype)
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * gradient.square()
    correction1 = -torch.expm1(t * math.log(BETA1))  # 1 − β^t without cancellation in single precision
    correction2 = -torch.expm1(t * math.log(BETA2))
    scale = (second / correction2).sqrt() + EPSILON
    return parameters + rate * (first / correction1) / scale, first, second
