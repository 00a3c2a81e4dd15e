"""The likelihood and the prior at the most probable weights."""

from __future__ import annotations

from typing import Any

from ...plugins import Criterion, Estimate, LevelFactors, ScoredMembers


class Map(Criterion):
    """log p(y, w | h) at one value of the weights: L = Q = log p(y | w) + c_reg log p(w | h)."""

    type = "map"
    label = "log p(y, w)"
    trains_point = True

    @staticmethod
    def factors(options: Any, given: LevelFactors, is_point: bool) -> LevelFactors:
        return LevelFactors(given.c_reg, 1.0, given.c_reg, 0.0)

    @staticmethod
    def score(options: Any, members: ScoredMembers) -> Estimate:
        return Estimate.of_samples(terms.bound for terms in members.terms)
