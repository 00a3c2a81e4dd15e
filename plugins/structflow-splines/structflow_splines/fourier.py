"""A Fourier series of every input for every output."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from structflow.plugins import BasisOptions

from .additive import AdditiveFunction

if TYPE_CHECKING:
    from torch import Tensor


class FourierOptions(BasisOptions):
    """Keys of the basis function `fourier`."""

    harmonics: int = Field(5, ge=1, le=1000, description="K: sines and cosines of 1 … K periods over the range.")
    half_range: float = Field(3.0, gt=0, description="R: half of the longest period, in units of the inputs.")


class Fourier(AdditiveFunction):
    """g_j(x; a, b) = b_j + K^(−½) Σ_i Σ_{k=1}^{K} [a_{ikj} cos(k π x_i / R) + a'_{ikj} sin(k π x_i / R)].

    Frequencies are fixed: the function is linear in its weights and repeats itself with the period 2R, also outside
    [−R, R]. It suits inputs that are periodic (an hour, a month; R is then half the period) and smooth functions on a
    range of which the inputs fill only the middle, since the two ends of the period are tied together.

    Scale: the squares of one input's features add up to 1 everywhere, so under a ~ N(0, 1) every curve is a stationary
    random function of variance 1. The weights are (inputs · 2K, outputs), input by input, first the K cosines and then
    the K sines, and called `weight`; b is (outputs,).

    Source: Rahimi and Recht 2007, Random Features for Large-Scale Kernel Machines, here with a grid of frequencies.
    """

    type = "fourier"
    Options = FourierOptions

    @classmethod
    def label(cls, options: FourierOptions) -> str:
        """`fourier:K`."""
        return f"fourier:{options.harmonics}"

    @classmethod
    def features_per_input(cls, options: FourierOptions) -> int:
        return 2 * options.harmonics

    def features(self, x: Tensor) -> Tensor:
        import torch

        harmonics = self.options.harmonics
        orders = torch.arange(1, harmonics + 1, dtype=x.dtype, device=x.device)
        angles = x.unsqueeze(-1) * (orders * (math.pi / self.options.half_range))
        return torch.cat([angles.cos(), angles.sin()], dim=-1) / math.sqrt(harmonics)
