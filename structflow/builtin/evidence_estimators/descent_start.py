"""The distribution that trajectories start from, whose entropy is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CallError

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors

DRAWN_STARTS = 64
"""Starts of the basis functions that their spread is taken from."""


@dataclass(frozen=True)
class DescentStart:
    """Draws w (M, r, n) of q⁰, its entropy S (M,) in nats, and −log q⁰(w) − S (M, r), whose expectation is 0."""

    draws: Tensor
    entropy: Tensor
    surprise: Tensor


def descent_start(weights: WeightVectors, kind: str | float, restarts: int, phase: str) -> DescentStart:
    """r draws of the normal distribution of that kind and S = ½ Σ log 2πe s² over a member's weights.

    `functions`: N(m, s²) for every weight by itself, with mean and variance of 64 starts of the basis functions.
    Weights that always start at one number get the average variance of the member's others. `prior`: N(0, 1/A).
    `posterior`: q(w), S = ½ n − log q(μ), also with a full covariance. A number: N(0, its square). Which distribution
    it is depends on no target, so that any of them but the last makes a valid bound. Raises `CallError` for the
    posterior where q(w) is a point.
    """
    if kind == "posterior":
        if bool(((weights.variance == 0) & weights.used).any()):
            raise CallError("got start: posterior for a posterior that is a point; use functions, prior or a number")
        size = weights.used.sum(1)
        at_mean = weights.log_posterior(weights.mean.unsqueeze(1)).squeeze(1)
        drawn, entropy = weights.draws(restarts, phase), 0.5 * size - at_mean
        return DescentStart(drawn, entropy, -weights.log_posterior(drawn) - entropy.unsqueeze(1))
    mean, variance = moments(weights, kind, phase)
    noise = weights.normals(restarts, phase)
    drawn = mean.unsqueeze(1) + variance.sqrt().unsqueeze(1) * noise
    surprise = 0.5 * (noise.square().sum(-1) - weights.used.sum(1, keepdim=True))
    return DescentStart(drawn, normal_entropy(variance, weights.used), surprise)


def moments(weights: WeightVectors, kind: str | float, phase: str) -> tuple[Tensor, Tensor]:
    """Mean and variance of every weight, (M, n) each; 0 where there is none."""
    import torch

    none, used = torch.zeros_like(weights.mean), weights.used
    if kind == "prior":
        return none, torch.where(used, (-weights.log_precision).exp(), 0.0)
    if not isinstance(kind, str):
        return none, torch.where(used, float(kind) ** 2, none)
    starts = weights.starts(DRAWN_STARTS, f"{phase}/spread")
    mean, variance = starts.mean(1), starts.var(1)
    spread = used & (variance > 0)
    average = variance.sum(1, keepdim=True) / spread.sum(1, keepdim=True).clamp(min=1)
    others = torch.where(spread.any(1, keepdim=True), average, (-weights.log_precision).exp())
    return mean, torch.where(used, torch.where(spread, variance, others), 0.0)


def normal_entropy(variance: Tensor, used: Tensor) -> Tensor:
    """½ Σ log(2πe s²) over the weights of every member, (M,)."""
    import torch

    logs = 0.5 * torch.where(used, variance, 1.0).log() + 0.5 * math.log(2 * math.pi * math.e)
    return torch.where(used, logs, 0.0).sum(1)
