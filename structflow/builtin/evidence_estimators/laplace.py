"""Laplace's approximation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ...plugins import Estimate, EvidenceEstimator, ModelFacts, Options, TrainedMembers
from .modes import MOST_GRADIENTS, find_modes
from .scaled_energy import ScaledEnergy, check_size, too_many_weights

if TYPE_CHECKING:
    from torch import Tensor

    from .modes import Modes

USUAL_NEWTON_STEPS = 6
"""Newton steps that a forecast counts on."""

MOST_EXCESS = 0.1
"""½ gᵀH⁻¹g, in nats, of a point that still counts as a mode: little beside what the approximation itself is off by."""


NOT_FINITE = "the network, or its curvature, isn't finite at the weights that training ended at"


class LaplaceOptions(Options):
    """Keys of the estimator `laplace`."""

    hessian: Literal["full", "ggn", "diagonal"] | None = Field(
        None,
        description="H: the whole Hessian, the generalised Gauss-Newton matrix, or the diagonal of the Hessian, at a "
        "mode searched for from the mean of q. Default: what posterior.weights of type laplace fitted, at the weights "
        "that it was trained to; else full.",
    )


class Laplace(EvidenceEstimator):
    """log p(y, w* | h) + n/2 log 2π − ½ log|H| at a mode w* near the mean of q, H the Hessian of −log p(y, w | h).

    MacKay (1992). It is no bound, and looks at one mode. `diagonal` is never above `full`, as |H| ≤ Π H_ii; `ggn`,
    Σ_i J_iᵀ Λ_i J_i + A, leaves out the curvature of the network and is always positive definite. The prior's
    precisions and the likelihood's parameters stay as they were trained. It has no standard error, and no value where
    no mode was reached, as at a kink of `relu`. For at most 2,000 weights a member. Where posterior.weights is
    `laplace`, it is by default the evidence from which h was learned, at the trained weights.
    """

    type = "laplace"
    Options = LaplaceOptions
    of_weights = True
    needs_density = False
    needs_normal_prior = True

    @staticmethod
    def why_no_value(options: LaplaceOptions, facts: ModelFacts) -> str | None:
        return None if facts.is_curved and options.hessian is None else too_many_weights(facts.weights)

    @staticmethod
    def cost(options: LaplaceOptions, weights: int, samples: int) -> float:
        """Half of the gradients that a search for the mode may take, and a handful of Hessians, column by column."""
        return 3.0 * MOST_GRADIENTS / 2 + USUAL_NEWTON_STEPS * 6.0 * weights

    @staticmethod
    def estimate(options: LaplaceOptions, trained: TrainedMembers, samples: int) -> Estimate:
        """The approximation at the modes; `samples` is ignored. Raises `CallError` for too many weights."""
        import torch

        fitted = trained.curved_evidence if options.hessian is None else None
        if fitted is not None:
            missing = {number: NOT_FINITE for number, known in enumerate(fitted.isfinite().tolist()) if not known}
            return Estimate(fitted, torch.zeros_like(fitted), missing)
        check_size(trained.weights, "laplace")
        energy = ScaledEnergy.of(trained.weights)
        modes = find_modes(energy)
        with torch.no_grad():
            log_determinant = log_determinants(options, energy, modes)
        reached = (modes.excess <= MOST_EXCESS) & modes.is_definite
        value = torch.where(reached, evidence_at(energy, modes.value, log_determinant), torch.nan)
        return Estimate(value, torch.zeros_like(value), reasons(modes, reached))


def log_determinants(options: LaplaceOptions, energy: ScaledEnergy, modes: Modes) -> Tensor:
    """log|H| in the coordinates z, (M,)."""
    import torch

    if options.hessian == "ggn":
        factor: Tensor = torch.linalg.cholesky_ex(energy.gauss_newton(modes.z))[0]  # no number where U has none
        return 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    values = modes.eigenvalues if options.hessian in (None, "full") else modes.hessian.diagonal(dim1=1, dim2=2)
    return values.log().sum(1)  # NaN without a mode


def evidence_at(energy: ScaledEnergy, value: Tensor, log_determinant: Tensor) -> Tensor:
    """−U(z*) + n/2 log 2π − ½ log|H_z| + Σ log d for U(z*) = `value`: the last as H_w = D⁻¹ H_z D⁻¹; (M,)."""
    import torch

    used = energy.vectors.used
    constants = torch.where(used, energy.scale.log() + 0.5 * math.log(2 * math.pi), 0.0).sum(1)
    return -value + constants - 0.5 * log_determinant


def reasons(modes: Modes, reached: Tensor) -> dict[int, str]:
    """Why members have no value."""
    found = {}
    states = zip(reached.tolist(), modes.excess.tolist(), modes.is_definite.tolist(), strict=True)
    for number, (is_mode, excess, definite) in enumerate(states):
        if not is_mode and not definite:
            found[number] = "the Hessian at the point reached isn't positive definite"
        elif not is_mode:
            found[number] = f"no mode was reached: ½ gᵀH⁻¹g is {excess:.2g} nats, as at a kink of the network"
    return found
