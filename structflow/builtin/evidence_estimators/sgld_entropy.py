"""The entropy bound of Langevin dynamics."""

from __future__ import annotations

from ...plugins import Estimate, EvidenceEstimator, TrainedMembers
from .descent_estimate import bound_of_descent
from .descent_options import DescentOptions


class SgldEntropy(EvidenceEstimator):
    """E log p(y, w | h) + S ≤ log p(y | h), w after noisy gradient steps from random starts, S the entropy of w.

    Bakhteev and Strijov, "Deep learning model selection of suboptimal complexity" (2018), with the steps of Welling
    and Teh (2011): w' = w + β ∇log p(y, w) + √(2β) ξ, ξ ~ N(0, I), β half their ε. Noise adds the entropy that the
    gradient takes away, so that w comes to rest near the posterior instead of at its mode. S is bounded by the entropy
    power inequality, which is exact where all weights are equally uncertain and loose where they are not. S is averaged
    over restarts before noise is added; the error of that mean enters a convex function, which raises the bound by
    about its variance / n a step. All else is as in `sgd_entropy`.
    """

    type = "sgld_entropy"
    Options = DescentOptions
    of_weights = True
    needs_density = False

    @staticmethod
    def cost(options: DescentOptions, weights: int, samples: int) -> float:
        return 9.0 * options.restarts * options.steps

    @staticmethod
    def estimate(options: DescentOptions, trained: TrainedMembers, samples: int) -> Estimate:
        """The bound, and its standard error over 50 or more restarts; `samples` is ignored."""
        return bound_of_descent(trained.weights, options, langevin=True, phase="sgld_entropy")
