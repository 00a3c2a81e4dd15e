"""Importance weights with a smoothed upper tail. Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance
sampling" (2024); the fit is that of Zhang and Stephens (2009), as in ArviZ and the R package loo.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PRIOR_POINTS = 10
"""Observations that the prior at k = ½ counts as, when the shape of the tail is estimated."""

LEAST_TAIL = 5
"""Draws in a tail that is smoothed, at least."""


def smoothed_log_weights(log_ratios: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised log weights (…, S) of S log importance ratios, and the shape k̂ of each one's tail, (…).

    The tail are the ⌈min(S/5, 3√S)⌉ greatest ratios; a generalised Pareto distribution is fitted to what they exceed
    the next one by, and its quantiles take their place, cut at the greatest ratio. k̂ is infinite, and nothing is
    smoothed, where the tail is too short or has no spread.
    """
    import torch

    ratios = log_ratios - log_ratios.amax(-1, keepdim=True)
    draws = ratios.shape[-1]
    length = math.ceil(min(draws / 5, 3 * math.sqrt(draws)))
    shape = torch.full_like(ratios[..., 0], math.inf)
    if length >= LEAST_TAIL:
        ordered, places = ratios.sort(dim=-1)
        cutoff = ordered[..., -length - 1].clamp(min=math.log(torch.finfo(ratios.dtype).tiny)).unsqueeze(-1).exp()
        excess = ordered[..., -length:].exp() - cutoff
        fitted, scale = generalised_pareto(excess)
        usable = (excess[..., 0] > 0) & fitted.isfinite() & scale.isfinite()
        shares = (torch.arange(length, dtype=ratios.dtype, device=ratios.device) + 0.5) / length
        quantiles = pareto_quantile(shares, fitted.unsqueeze(-1), scale.unsqueeze(-1))
        tail = (quantiles + cutoff).log().clamp(max=0)
        tail = torch.where(usable.unsqueeze(-1), tail, ordered[..., -length:])
        ratios = ratios.scatter(-1, places[..., -length:], tail)
        shape = torch.where(usable, fitted, shape)
    return ratios - ratios.logsumexp(-1, keepdim=True), shape


def generalised_pareto(excess: Tensor) -> tuple[Tensor, Tensor]:
    """Shape k and scale σ of the distribution of n positive excesses in rising order, (…, n): (…) each.

    Zhang and Stephens' posterior mean of θ = −k/σ over 30 + √n grid points, weighed by the profile likelihood; then k =
    mean log(1 − θ x), drawn to ½ by `PRIOR_POINTS` observations.
    """
    import torch

    count = excess.shape[-1]
    points = 30 + int(math.sqrt(count))
    grid = torch.arange(1, points + 1, dtype=excess.dtype, device=excess.device) - 0.5
    quartile = excess[..., int(count / 4 + 0.5) - 1].unsqueeze(-1)
    theta = 1 / excess[..., -1:] + (1 - (points / grid).sqrt()) / (3 * quartile)  # (…, points)
    shapes = torch.log1p(-theta.unsqueeze(-1) * excess.unsqueeze(-2)).mean(-1)
    log_likelihood = count * ((-theta / shapes).log() - shapes - 1)
    weights = log_likelihood.softmax(-1)
    weights = torch.where(weights >= 10 * torch.finfo(weights.dtype).eps, weights, torch.zeros_like(weights))
    mean = (theta * weights).sum(-1) / weights.sum(-1)
    shape = torch.log1p(-mean.unsqueeze(-1) * excess).mean(-1)
    return (count * shape + 0.5 * PRIOR_POINTS) / (count + PRIOR_POINTS), -shape / mean


def pareto_quantile(share: Tensor, shape: Tensor, scale: Tensor) -> Tensor:
    """σ ((1 − p)^−k − 1) / k, −σ log(1 − p) for k = 0."""
    import torch

    log_rest = torch.log1p(-share)
    return torch.where(shape == 0, -scale * log_rest, scale * torch.expm1(-shape * log_rest) / shape)
