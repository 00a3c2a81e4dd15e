"""Densities of normal distributions over weights, with diagonal or full covariance.

Every function is pure, takes any leading axes (members, samples) and broadcasts. Parameters are unconstrained:
`log_sd` is ½ log α, and a full covariance L Lᵀ comes as a raw square matrix (see `cholesky_factor`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def cholesky_factor(raw_cholesky: Tensor) -> Tensor:
    """L (…, n, n): the strict lower triangle as it is, the diagonal exponentiated, the upper triangle ignored."""
    diagonal = raw_cholesky.diagonal(dim1=-2, dim2=-1).exp()
    return raw_cholesky.tril(-1) + torch.diag_embed(diagonal)


def log_prob_diagonal(value: Tensor, mean: Tensor, log_sd: Tensor, keep: int = 1) -> Tensor:
    """log q(w) = Σ [−½ (w − μ)²/α − ½ log α − ½ log 2π], summed over all but `keep` leading axes; broadcasts."""
    standardized = (value - mean) * (-log_sd).exp()
    return sum_from(-0.5 * standardized.square() - log_sd - HALF_LOG_TWO_PI, keep)


def log_prob_of_noise(noise: Tensor, raw_cholesky: Tensor) -> Tensor:
    """log q(w) of w = μ + L ε: −½ |ε|² − Σ_i log L_ii − (n/2) log 2π, shape (…, samples).

    `noise` ε is (…, samples, n), `raw_cholesky` (…, n, n).
    """
    log_determinant = raw_cholesky.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    return -0.5 * noise.square().sum(-1) - log_determinant - noise.shape[-1] * HALF_LOG_TWO_PI


def sum_from(terms: Tensor, keep: int) -> Tensor:
    """Sum over all but the first `keep` axes."""
    return terms.flatten(keep).sum(-1) if terms.ndim > keep else terms
