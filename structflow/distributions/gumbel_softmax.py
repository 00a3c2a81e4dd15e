"""The Gumbel-Softmax (Concrete) distribution of γ on the simplex Δ^{K−1}, in log space.

    p(γ) = (K−1)! · c^{K−1} · ∏_l s_l γ_l^{−c−1} · ( Σ_l s_l γ_l^{−c} )^{−K}        γ = softmax((log s + G) / c)

with concentration s > 0, temperature c > 0 and G_l standard Gumbel. s and t·s are the same distribution. As c falls
to 0 γ goes to a vertex, and argmax γ = l has probability s_l / Σ s at every c. K = 1 is the point γ = 1, density 1.
Maddison, Mnih and Teh, "The Concrete distribution" (2017); Jang, Gu and Poole, "Categorical reparameterization with
Gumbel-Softmax" (2017).

Shapes: log s, U and y = log γ are (…, K), the temperature is (…), and the leading axes (members, samples) broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gumbel(uniform: Tensor) -> Tensor:
    """G = −log(−log(1 − U)), standard Gumbel for U uniform on (0, 1).

    1 − U is as uniform as U. This way round the long upper tail, which decides the largest coordinate, comes from U
    near 0, where floating-point numbers are dense; −log(−log U) in float32 stops at 16.6 and is coarse long before.
    """
    return -(-torch.log1p(-uniform)).log()


def sample_log_gamma(log_concentration: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
    """y = log γ = log softmax((log s + G) / c), shape (…, K)."""
    scores = (log_concentration + gumbel(uniform)) / temperature.unsqueeze(-1)
    return torch.log_softmax(scores, dim=-1)


def log_prob(log_concentration: Tensor, temperature: Tensor, log_gamma: Tensor) -> Tensor:
    """log p(γ) = log (K−1)! + (K−1) log c + Σ_l (log s_l − (c+1) y_l) − K logsumexp(log s − c y), shape (…).

    The density is with respect to Lebesgue measure on the first K − 1 coordinates of γ.
    """
    n_functions = log_gamma.shape[-1]
    scores = log_concentration - temperature.unsqueeze(-1) * log_gamma
    return (
        math.lgamma(n_functions)
        + (n_functions - 1) * temperature.log()
        + (scores - log_gamma).sum(-1)
        - n_functions * scores.logsumexp(-1)
    )


def rounding_probabilities(log_concentration: Tensor) -> Tensor:
    """P(argmax γ = l) = s_l / Σ s, shape (…, K)."""
    return torch.softmax(log_concentration, dim=-1)
