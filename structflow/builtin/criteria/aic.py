"""Akaike's information criterion."""

from __future__ import annotations

from ...plugins import Estimate, ScoredMembers
from .information import CountingOptions, InformationCriterion, parameter_count, penalised


class Aic(InformationCriterion):
    """E_q log p(y) − k: −½ AIC, k the parameters that the data inform. Akaike (1974)."""

    type = "aic"
    label = "AIC score"

    @staticmethod
    def score(options: CountingOptions, members: ScoredMembers) -> Estimate:
        return penalised(members, parameter_count(options, members))
