"""The evidence lower bound."""

from __future__ import annotations

from typing import Any

from ...plugins import Estimate, EvidenceEstimator, TrainedMembers


class Elbo(EvidenceEstimator):
    """E_q[log p(y | w, Γ) + log p(w, Γ | h) − log q(w, Γ)] ≤ log p(y | h), by samples of q.

    What is linear and Gaussian is done analytically, so a model that is linear in its weights has no standard error.
    """

    type = "elbo"

    @staticmethod
    def estimate(options: Any, trained: TrainedMembers, samples: int) -> Estimate:
        """Mean and standard error of the integrand."""
        return Estimate.of_samples(terms.bound for terms in trained.sample_terms(samples, "elbo"))
