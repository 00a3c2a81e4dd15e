"""The widely applicable information criterion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...plugins import Criterion, Estimate, ScoredMembers
from .row_predictions import sum_over_rows

if TYPE_CHECKING:
    from torch import Tensor


class Waic(Criterion):
    """Σ_i [log E_q p(y_i | w) − Var_q log p(y_i | w)]: −½ WAIC, over draws of q in place of the posterior.

    Watanabe (2010), with the unbiased variance over draws as in Gelman, Hwang and Vehtari (2014). What is trained is
    the general objective, as under `evidence`.
    """

    type = "waic"
    label = "WAIC score"
    needs_density = True

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return sum_over_rows(members, waic_of_rows)


def waic_of_rows(log_likelihood: Tensor) -> tuple[Tensor, Tensor]:
    """log mean_s p_is − var_s log p_is, (M, rows), and what each draw adds to its error, (M, S, rows)."""
    draws = log_likelihood.shape[1]
    density = log_likelihood.logsumexp(1) - math.log(draws)
    if draws == 1:
        return density, log_likelihood.new_zeros(log_likelihood.shape)
    share = (log_likelihood - density.unsqueeze(1)).exp() - 1
    squares = (log_likelihood - log_likelihood.mean(1, keepdim=True)).square()
    excess = squares - squares.mean(1, keepdim=True)
    return density - squares.sum(1) / (draws - 1), (share - excess) / draws
