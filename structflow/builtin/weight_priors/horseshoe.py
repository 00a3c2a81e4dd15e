"""The horseshoe prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...plugins import WeightPrior

if TYPE_CHECKING:
    from torch import Tensor

LOG_CONSTANT = -1.5 * math.log(math.pi) - 0.5 * math.log(2)

SPLIT = 3.0
"""Where the power series of E₁ gives way to its continued fraction."""

TERMS, LEVELS = 32, 36
"""Of the series and of the fraction: both are then exact to about 1e-14 at the split, and better away from it."""


class Horseshoe(WeightPrior):
    """w | λ ~ N(0, λ²/A) with λ half-Cauchy: p(w) = √A (2π³)^−½ eᵘ E₁(u), u = A w²/2.

    Infinitely dense at 0, with the tails of a Cauchy distribution: it shrinks what is small and leaves the rest. 1/√A
    is the scale; there is no variance. Expectations are taken over draws. Carvalho, Polson and Scott, "The horseshoe
    estimator for sparse signals" (2010).
    """

    type = "horseshoe"

    @staticmethod
    def log_prob(options: Any, weights: Tensor, log_precision: Tensor) -> Tensor:
        """½ log A − ½ log 2π³ + log eᵘ E₁(u), finite also at w = 0, where u counts as the smallest number."""
        import torch

        u = 0.5 * log_precision.exp() * weights.square()
        smallest = torch.finfo(u.dtype).tiny
        return 0.5 * log_precision + LOG_CONSTANT + log_scaled_integral(u.clamp(min=smallest))


def log_scaled_integral(x: Tensor) -> Tensor:
    """log eˣ E₁(x) for x > 0, with E₁(x) = ∫ₓ^∞ e⁻ᵗ/t dt. Abramowitz and Stegun (1964), 5.1.11 and 5.1.22.

    E₁(x) = −γ − log x − Σ_k (−x)ᵏ / (k k!), and eˣ E₁(x) = 1/(x + 1 − 1²/(x + 3 − 2²/(x + 5 − …))).
    """
    import torch

    low, high = x.clamp(max=SPLIT), x.clamp(min=SPLIT)
    series = torch.zeros_like(low)
    for k in range(TERMS, 0, -1):  # Σ_k (−x)ᵏ / (k k!), each term from the one before: t_k = −t_{k−1} x (k − 1) / k²
        series = 1.0 - low * series * k / (k + 1) ** 2
    series = -low * series
    fraction = high + (2 * LEVELS + 1)
    for level in range(LEVELS, 0, -1):
        fraction = high + (2 * level - 1) - level**2 / fraction
    integral = -EULER - low.log() - series
    return torch.where(x < SPLIT, low + integral.log(), -fraction.log())


EULER = 0.57721566490153286
"""γ."""
