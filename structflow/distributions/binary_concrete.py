"""K independent binary Concrete variables: γ on the cube [0, 1]^K, in the coordinates z = logit γ.

    z = (log s + log U − log(1 − U)) / c        γ = σ(z)        P(γ > ½) = s / (1 + s)

with s > 0 the odds and c > 0 the temperature; as c falls to 0 γ goes to a vertex. Maddison, Mnih and Teh, "The
Concrete distribution" (2017), appendix B.

Shapes: log s, U and z are (…, K), the temperature is (…), and the leading axes (members, samples) broadcast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def sample_logit(log_concentration: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
    """z = (log s + log U − log(1 − U)) / c, shape (…, K)."""
    logistic = uniform.log() - torch.log1p(-uniform)
    return (log_concentration + logistic) / temperature.unsqueeze(-1)


def log_gamma(logit: Tensor) -> Tensor:
    """log γ = log σ(z), shape (…, K)."""
    return logsigmoid(logit)


def log_prob(log_concentration: Tensor, temperature: Tensor, logit: Tensor) -> Tensor:
    """log p(z) = Σ_l [log c + a_l − 2 softplus(a_l)] with a = log s − c z, a density over z, shape (…)."""
    scores = log_concentration - temperature.unsqueeze(-1) * logit
    # log σ(a) + log σ(−a) is a − 2 softplus(a) without torch's switch to a linear softplus at 20
    log_density = temperature.log().unsqueeze(-1) + logsigmoid(scores) + logsigmoid(-scores)
    return log_density.sum(-1)


def rounding_probabilities(log_concentration: Tensor) -> Tensor:
    """P(γ_l > ½) = s_l / (1 + s_l), shape (…, K)."""
    return torch.sigmoid(log_concentration)
