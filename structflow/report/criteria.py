"""Names of what structures are ranked by, by the preset of (L, Q)."""

from __future__ import annotations

CRITERIA = {
    "evidence": "log evidence",
    "maximum_likelihood": "log likelihood",
    "map": "log p(y, w)",
    "hold_out": "held-out log lik.",
    "cross_validation": "held-out log lik.",
    "aic": "AIC score",
    "bic": "BIC score",
}

WITHOUT_NOISE = ("maximum_likelihood", "map", "hold_out", "cross_validation")
"""Criteria of point estimates, whose scores have no Monte Carlo error."""
