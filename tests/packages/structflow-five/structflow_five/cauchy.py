"""The Cauchy prior."""

import math

from structflow.plugins import WeightPrior


class Cauchy(WeightPrior):
    """p(w) = √A / π (1 + A w²), of scale A^{-1/2}: its tails let single weights be large."""

    type, interface = "cauchy", (2, 0)

    @staticmethod
    def log_prob(options, weights, log_precision):
        """½ log A − log π − log(1 + A w²)."""
        return 0.5 * log_precision - math.log(math.pi) - (log_precision.exp() * weights.square()).log1p()
