"""Sums over rows of log predictive densities that are corrected for having learned from those rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...plugins import Estimate, ScoredMembers

if TYPE_CHECKING:
    from torch import Tensor

Corrected = Callable[["Tensor"], tuple["Tensor", "Tensor"]]
"""From log p(y_i | w_s) (M, S, rows) to the expected log predictive densities (M, rows), and what each draw adds to
their error, (M, S, rows): the derivative of the density by the draw's weight in the average, which sums to 0.
"""


def sum_over_rows(members: ScoredMembers, corrected: Corrected) -> Estimate:
    """Σ_i elpd_i and its Monte Carlo standard error (Σ_s (Σ_i d_is)²)^½, (M,) each: rows have their draws in common.

    Where the rows are a sample each counts as often as it stands for. The error is 0 where nothing is random.
    """
    value = influence = None
    for log_likelihood in members.row_log_likelihoods():
        densities, parts = corrected(log_likelihood)
        value = densities.sum(-1) if value is None else value + densities.sum(-1)
        influence = parts.sum(-1) if influence is None else influence + parts.sum(-1)
    assert value is not None
    assert influence is not None
    return Estimate(members.row_weight * value, members.row_weight * influence.square().sum(1).sqrt())
