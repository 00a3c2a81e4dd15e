"""Leave-one-out cross-validation by importance sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...plugins import Criterion, Estimate, ScoredMembers
from .pareto_smoothing import smoothed_log_weights
from .row_predictions import sum_over_rows

if TYPE_CHECKING:
    from torch import Tensor


class Loo(Criterion):
    """Σ_i log p(y_i | y_{−i}) by Pareto smoothed importance sampling, over draws of q in place of the posterior.

    p(y_i | y_{−i}) ≈ Σ_s r_is p(y_i | w_s), r_is the smoothed weights of 1/p(y_i | w_s). Vehtari, Gelman and Gabry,
    "Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC" (2017). Where the tail of some
    row's weights is too heavy, k̂ > min(1 − 1/log₁₀ S, 0.7), the standard error isn't known. What is trained is the
    general objective, as under `evidence`.
    """

    type = "loo"
    label = "LOO score"
    needs_density = True

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        import torch

        heavy = torch.zeros(members.size, dtype=torch.int64)

        def corrected(log_likelihood: Tensor) -> tuple[Tensor, Tensor]:
            density, influence, is_heavy = loo_of_rows(log_likelihood)
            heavy.add_(is_heavy.sum(-1).cpu())
            return density, influence

        found = sum_over_rows(members, corrected)
        unsure = {
            number: f"the importance weights of {count} row(s) have too heavy a tail: more samples, or a q that is "
            "nearer to the posterior"
            for number, count in enumerate(heavy.tolist())
            if count
        }
        error = found.standard_error.clone()
        error[list(unsure)] = math.nan
        return Estimate(found.value, error, unsure=unsure)


def loo_of_rows(log_likelihood: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(y_i | y_{−i}) of every row (M, rows), what each draw adds to its error (M, S, rows), and heavy tails."""
    draws = log_likelihood.shape[1]
    by_row = log_likelihood.transpose(1, 2)
    log_weights, shape = smoothed_log_weights(-by_row)
    density = (log_weights + by_row).logsumexp(-1)
    influence = log_weights.exp() * ((by_row - density.unsqueeze(-1)).exp() - 1)
    limit = min(1 - 1 / math.log10(draws), 0.7) if draws > 1 else math.inf
    constant = by_row.amax(-1) == by_row.amin(-1)
    return density, influence.transpose(1, 2), (shape > limit) & ~constant
