"""The Bayesian information criterion."""

from __future__ import annotations

from ...plugins import Estimate, ScoredMembers
from .information import CountingOptions, InformationCriterion, parameter_count, penalised


class Bic(InformationCriterion):
    """E_q log p(y) − k/2 log m: −½ BIC, k the parameters that the data inform and m rows. Schwarz (1978)."""

    type = "bic"
    label = "BIC score"

    @staticmethod
    def score(options: CountingOptions, members: ScoredMembers) -> Estimate:
        count = parameter_count(options, members)
        return penalised(members, 0.5 * count * count.new_tensor(float(members.rows)).log())
