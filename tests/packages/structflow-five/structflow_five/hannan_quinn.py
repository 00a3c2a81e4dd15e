"""The criterion of Hannan and Quinn."""

import math

from pydantic import Field
from structflow.plugins import Criterion, Estimate, Options


class HannanQuinnOptions(Options):
    threshold: float = Field(0.5, ge=0, description="Weights count whose KL to the prior exceeds this, in nats.")


class HannanQuinn(Criterion):
    """E_q log p(y) − k log log m, with k informative weights. Hannan and Quinn (1979)."""

    type, interface = "hannan_quinn", (2, 0)
    label = "Hannan-Quinn score"
    Options = HannanQuinnOptions

    @staticmethod
    def score(options, members):
        found = Estimate.of_samples(terms.log_likelihood for terms in members.terms)
        count = members.informative_weights(options.threshold) + members.likelihood_parameters
        return Estimate(found.value - count * math.log(math.log(max(members.rows, 3))), found.standard_error)
