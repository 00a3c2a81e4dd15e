"""The likelihood alone."""

from __future__ import annotations

from typing import Any

from ...plugins import Criterion, Estimate, LevelFactors, ScoredMembers


class MaximumLikelihood(Criterion):
    """log p(y | w) at one value of the weights: L = Q = log p(y | w), without a prior."""

    type = "maximum_likelihood"
    label = "log likelihood"
    trains_point = True

    @staticmethod
    def factors(options: Any, given: LevelFactors, is_point: bool) -> LevelFactors:
        return LevelFactors(0.0, 1.0, 0.0, 0.0)

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return Estimate.of_samples(terms.log_likelihood for terms in members.terms)
