"""KL(q(w) ‖ p(w | h)) = −H(q) − E_q log p(w | h) of every factor, in closed form or by draws."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .kept_weights import KeptWeights
from .parameters import Parameters
from .weights_posterior import Draw, Factor, GroupValues, WeightsPosterior
from .weights_prior import WeightsPrior


@dataclass(frozen=True)
class WeightsDivergence:
    """The divergence between posterior and prior of a population's weights.

    Where q is normal and the prior has a closed form the expectation is exact; otherwise it is an average over draws,
    of a point the value itself.
    """

    posterior: WeightsPosterior
    prior: WeightsPrior

    @property
    def in_closed_form(self) -> bool:
        """Whether E_q log p(w | h) is known."""
        return self.posterior.family.plugin.is_normal and self.prior.family.plugin.closed_form

    def expected(
        self, parameters: Parameters, log_precision: GroupValues, draw: Draw, kept: KeptWeights | None
    ) -> list[Tensor]:
        """The divergence of every factor, (C,); `parameters` are those with weights removed."""
        parts = []
        for number, factor in enumerate(self.posterior.factors):
            if self.in_closed_form:
                log_prior = self._closed(parameters, log_precision, factor, kept)
            else:
                log_prior = self._drawn(parameters, log_precision, draw, number, kept).mean(1)
            parts.append(-self.posterior.family.entropy(self.posterior.own(parameters, factor)) - log_prior)
        return parts

    def sampled(
        self, parameters: Parameters, log_precision: GroupValues, draw: Draw, kept: KeptWeights | None
    ) -> list[Tensor]:
        """log q(w) − log p(w | h) of every factor at the draws, (C, S), or (C, 1) of one that is integrated."""
        parts = []
        for number, (factor, noise) in enumerate(zip(self.posterior.factors, draw.noise, strict=True)):
            own = self.posterior.own(parameters, factor)
            if noise is None:
                log_prior = self._closed(parameters, log_precision, factor, kept)
                parts.append((-self.posterior.family.entropy(own) - log_prior).unsqueeze(1))
                continue
            log_posterior = self.posterior.family.log_prob_of_draw(own, noise)
            parts.append(log_posterior - self._drawn(parameters, log_precision, draw, number, kept))
        return parts

    def _closed(
        self, parameters: Parameters, log_precision: GroupValues, factor: Factor, kept: KeptWeights | None
    ) -> Tensor:
        """E log p(w | h) of a factor, (C,)."""
        own = self.posterior.own(parameters, factor)
        variance, precision = self.posterior.family.variance(own), self.posterior.of_factor(log_precision, factor)
        terms = self.prior.family.expected_log_prob(own["mean"], variance, precision)
        if kept is None:
            return terms.sum(1)
        left = kept.of_factor(factor)
        return (terms * left - self.posterior.entropy_of_removed(own) * (1 - left)).sum(1)

    def _drawn(
        self, parameters: Parameters, log_precision: GroupValues, draw: Draw, number: int, kept: KeptWeights | None
    ) -> Tensor:
        """log p(w | h) of a factor at its draws, (C, S)."""
        factor, vectors = self.posterior.factors[number], draw.vectors[number]
        assert vectors is not None
        terms = self.prior.family.log_prob(vectors, self.posterior.of_factor(log_precision, factor).unsqueeze(1))
        if kept is None:
            return terms.sum(-1)
        left, own = kept.of_factor(factor), self.posterior.own(parameters, factor)
        return (terms * left.unsqueeze(1)).sum(-1) + self.posterior.log_prob_of_removed(own, vectors, left)
