"""What information criteria have in common: a penalty for every parameter that the data inform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...plugins import Criterion, Estimate, LevelFactors, Options, ScoredMembers

if TYPE_CHECKING:
    from torch import Tensor


class CountingOptions(Options):
    """Keys of `criterion` with `type: aic` or `type: bic`."""

    threshold: float = Field(
        0.5, ge=0, description="Weights count whose KL to the prior exceeds this, in nats; all of a point posterior do."
    )


class InformationCriterion(Criterion):
    """E_q log p(y) minus a penalty; of a point posterior the likelihood alone is trained, c_reg = 0."""

    Options = CountingOptions

    @staticmethod
    def factors(options: Any, given: LevelFactors, is_point: bool) -> LevelFactors:
        return LevelFactors(0.0, 1.0, 0.0, 0.0) if is_point else given


def penalised(members: ScoredMembers, penalty: Tensor) -> Estimate:
    """E_q log p(y) − penalty (M,)."""
    found = Estimate.of_samples(terms.log_likelihood for terms in members.terms)
    return Estimate(found.value - penalty, found.standard_error)


def parameter_count(options: CountingOptions, members: ScoredMembers) -> Tensor:
    """k of every member, (M,): weights that the data inform, and the likelihood's own parameters."""
    return members.informative_weights(options.threshold) + members.likelihood_parameters
