"""Normal distributions over weights: q(w) diagonal or of full covariance, against the prior N(0, A⁻¹), A diagonal.

Every function is pure, takes any leading axes (members, samples) and broadcasts. Parameters are unconstrained:
`log_sd` is ½ log α, `log_precision` is log A, and a full covariance L Lᵀ comes as a raw square matrix (see
`cholesky_factor`). Kingma and Welling, "Auto-encoding variational Bayes" (2014), appendix B, for the diagonal KL.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def kl_diagonal(mean: Tensor, log_sd: Tensor, log_precision: Tensor, keep: int = 1) -> Tensor:
    """KL(N(μ, diag α) ‖ N(0, A⁻¹)) = ½ Σ [A (α + μ²) − 1 − log A − log α], summed over all but `keep` leading axes.

    The arguments broadcast: a precision shared by a member's weights (members, n) has the shape (members, 1).
    """
    second_moment = (2 * log_sd).exp() + mean.square()
    terms = log_precision.exp() * second_moment - 1 - log_precision - 2 * log_sd
    return 0.5 * sum_from(terms, keep)


def kl_cholesky(mean: Tensor, raw_cholesky: Tensor, log_precision: Tensor) -> Tensor:
    """KL(N(μ, L Lᵀ) ‖ N(0, A⁻¹)) = ½ Σ_i [A_i (Σ_j L_ij² + μ_i²) − 1 − log A_i − 2 log L_ii], shape (…).

    `mean` is (…, n), `raw_cholesky` (…, n, n), `log_precision` broadcasts against (…, n).
    """
    second_moment = cholesky_factor(raw_cholesky).square().sum(-1) + mean.square()
    log_diagonal = raw_cholesky.diagonal(dim1=-2, dim2=-1)
    return 0.5 * (log_precision.exp() * second_moment - 1 - log_precision - 2 * log_diagonal).sum(-1)


def cholesky_factor(raw_cholesky: Tensor) -> Tensor:
    """L (…, n, n): the strict lower triangle as it is, the diagonal exponentiated, the upper triangle ignored."""
    diagonal = raw_cholesky.diagonal(dim1=-2, dim2=-1).exp()
    return raw_cholesky.tril(-1) + torch.diag_embed(diagonal)


def sample_diagonal(mean: Tensor, log_sd: Tensor, noise: Tensor) -> Tensor:
    """μ + √α ε; the arguments broadcast, so samples are an axis of size one in `mean` and `log_sd`."""
    return mean + log_sd.exp() * noise


def sample_cholesky(mean: Tensor, raw_cholesky: Tensor, noise: Tensor) -> Tensor:
    """μ + L ε, shape (…, samples, n), from `mean` (…, n), `raw_cholesky` (…, n, n) and `noise` (…, samples, n)."""
    return mean.unsqueeze(-2) + noise @ cholesky_factor(raw_cholesky).mT


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


def log_prob_prior(value: Tensor, log_precision: Tensor, keep: int = 1) -> Tensor:
    """log p(w) = Σ [−½ A w² + ½ log A − ½ log 2π], summed over all but `keep` leading axes; broadcasts."""
    return sum_from(-0.5 * log_precision.exp() * value.square() + 0.5 * log_precision - HALF_LOG_TWO_PI, keep)


def sum_from(terms: Tensor, keep: int) -> Tensor:
    """Sum over all but the first `keep` axes."""
    return terms.flatten(keep).sum(-1) if terms.ndim > keep else terms
