"""Log evidence, and the bound that is trained in its place."""

from __future__ import annotations

from typing import Any

from ...plugins import Criterion, Estimate, ScoredMembers
from .evidence_score import evidence_score


class Evidence(Criterion):
    """log p(y | X, h) by the first of `evidence.estimators`; both levels are the general objective.

    L = E_q log p(y) − c_reg KL(q ‖ p), Q = c_train E_q log p(y) − c_prior KL(q ‖ p) − c_comb D + log p(h). Restarts are
    compared by the evidence lower bound, in which all factors are 1, or by Laplace's evidence where q fits a curvature.
    """

    type = "evidence"
    label = "log evidence"
    needs_density = True
    by_estimator = True

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return evidence_score(members)
