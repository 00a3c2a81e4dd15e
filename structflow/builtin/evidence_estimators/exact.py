"""Evidence in closed form, where the posterior is normal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Estimate, EvidenceEstimator, ModelFacts, TrainedMembers
from .laplace import evidence_at
from .linear_model import linear_model
from .scaled_energy import check_size, too_many_weights

if TYPE_CHECKING:
    from .linear_model import LinearModel

LEAST_ROUNDING = 0.01
"""Nats that rounding may change without being reported as an error."""

MOST_ROUNDING = 1e-8
"""Share of the log evidence, beyond these nats, that rounding may change at most where a value is given."""


NOT_LINEAR = "the model isn't linear in its weights, so that its evidence has no closed form"
NOT_NORMAL = "the noise isn't normal, so that the evidence has no closed form"


class Exact(EvidenceEstimator):
    """log N(y; f(x; 0), J A⁻¹ Jᵀ + σ² I) for f(x; w) = f(x; 0) + J w and normal noise: the evidence itself.

    It is −U(z*) + ½ gᵀH⁻¹g + n/2 log 2π − ½ log|H| + Σ log d, in coordinates z = w ∘ √A = w / d, of which nothing
    depends on q. That f is linear and log p(y | f) quadratic is checked row by row at points as far from z* as the
    prior is wide and as the posterior is, and at w = 0. Members for which it isn't true have no value. The standard
    error is 0, or what rounding may change where that is more than 0.01 nats; members for which it is more than a
    share of 1e-8, because their numbers differ too much in size, have no value either. For at most 2,000 weights a
    member.
    """

    type = "exact"
    of_weights = True
    needs_density = False
    needs_normal_prior = True

    @staticmethod
    def why_no_value(options: Any, facts: ModelFacts) -> str | None:
        if facts.linear is False:
            return NOT_LINEAR
        return NOT_NORMAL if facts.target != "continuous" else too_many_weights(facts.weights)

    @staticmethod
    def cost(options: Any, weights: int, samples: int) -> float:
        return 4.0 * (1 + weights)

    @staticmethod
    def estimate(options: Any, trained: TrainedMembers, samples: int) -> Estimate:
        """The evidence; `samples` is ignored. Raises `CallError` for too many weights."""
        import torch

        check_size(trained.weights, "exact")
        with torch.no_grad():
            model = linear_model(trained.weights)
            value = evidence_at(model.energy, model.value - model.excess, model.log_determinant)
        missing = reasons(model)
        known = torch.tensor([number not in missing for number in range(len(value))], device=value.device)
        error = torch.where(model.rounding > LEAST_ROUNDING, model.rounding, 0.0)
        return Estimate(torch.where(known, value, torch.nan), torch.where(known, error, torch.nan), missing)


def reasons(model: LinearModel) -> dict[int, str]:
    """Why members have no value."""
    found = {}
    states = zip(
        model.has_linear_outputs.tolist(), model.normal.tolist(), model.rounding.tolist(), model.value.tolist(),
        strict=True,
    )  # fmt: skip
    for number, (linear, normal, rounding, value) in enumerate(states):
        if not linear:
            found[number] = NOT_LINEAR
        elif not normal:
            found[number] = NOT_NORMAL
        elif not rounding <= LEAST_ROUNDING + MOST_ROUNDING * abs(value):
            found[number] = (
                f"rounding may change it by {rounding:.2g} nats (−log p(y, w) is {value:.4g} at the mode): the scales "
                "of inputs, weights or noise differ too much; standardise the data or set a larger noise"
            )
    return found
