"""The score of members by their evidence, which criteria of evidence have in common."""

from __future__ import annotations

from ...plugins import Estimate, ScoredMembers


def evidence_score(members: ScoredMembers) -> Estimate:
    """Laplace's evidence where q fits a curvature, else the evidence lower bound."""
    found = members.curved_evidence
    if found is not None:
        return Estimate(found, found.new_zeros(found.shape))
    return Estimate.of_samples(terms.bound for terms in members.terms)
