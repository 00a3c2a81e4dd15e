"""The entropy bound of gradient steps."""

from __future__ import annotations

from ...plugins import Estimate, EvidenceEstimator, TrainedMembers
from .descent_estimate import bound_of_descent
from .descent_options import DescentOptions


class SgdEntropy(EvidenceEstimator):
    """E log p(y, w | h) + S ≤ log p(y | h), w after gradient steps from random starts, S the entropy of w.

    Maclaurin, Duvenaud and Adams, "Early stopping as nonparametric variational inference" (2016). Trajectories of
    their own, r = `restarts` of every member, w' = w + β ∇log p(y, w): S falls with every step as the starts come
    together, log p(y, w) rises, and the bound is that of the steps where the sum is largest. Half of the restarts
    choose the step at which the other half is measured, so that the largest isn't picked by chance. Of the trained
    member only the hyperparameters and the likelihood's own parameters are used; with `start: posterior` also q(w),
    which makes the first value the bound `elbo`.

    It is far below the evidence where eigenvalues of the Hessian differ much: steps end when the steep directions
    are narrower than the posterior, before flat ones have learned. A step costs about three gradients of every restart.
    """

    type = "sgd_entropy"
    Options = DescentOptions
    of_weights = True
    needs_density = False
    loose = True

    @staticmethod
    def cost(options: DescentOptions, weights: int, samples: int) -> float:
        return 9.0 * options.restarts * options.steps

    @staticmethod
    def estimate(options: DescentOptions, trained: TrainedMembers, samples: int) -> Estimate:
        """The bound, and its standard error over 50 or more restarts; `samples` is ignored."""
        return bound_of_descent(trained.weights, options, langevin=False, phase="sgd_entropy")
