"""Evidence in closed form, where the posterior is normal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import Estimate, EvidenceEstimator, TrainedMembers
from .laplace import evidence_at
from .modes import newton
from .scaled_energy import ScaledEnergy, check_size

if TYPE_CHECKING:
    from torch import Tensor

    from .modes import Modes

POINTS = 8
"""Points at which it is checked that the model is linear."""

TOLERANCE = 1e-7
"""Relative deviation from a quadratic that rounding accounts for."""


class Exact(EvidenceEstimator):
    """log N(y; f(x; 0), J A⁻¹ Jᵀ + σ² I) for f(x; w) = f(x; 0) + J w and normal noise: the evidence itself.

    There log p(y, w | h) is quadratic in w, so Laplace's formula holds exactly from any point, and is what is computed.
    That it is quadratic is checked at eight points around the mode, as far apart as the prior is wide. Members of which
    it isn't true have no value. No standard error; for at most 2,000 weights a member.
    """

    type = "exact"
    of_weights = True
    needs_density = False

    @staticmethod
    def estimate(options: Any, trained: TrainedMembers, samples: int) -> Estimate:
        """The evidence; `samples` is of no account. Raises `CallError` for too many weights."""
        import torch

        check_size(trained.weights, "exact")
        energy = ScaledEnergy.of(trained.weights)
        with torch.no_grad():
            modes = newton(energy, energy.start())
            linear = modes.is_definite & is_quadratic(energy, modes)
            value = evidence_at(energy, modes, modes.eigenvalues.log().sum(1))
        value = torch.where(linear, value, torch.nan)
        reason = "the model isn't linear in its weights with normal noise"
        missing = {number: reason for number, is_linear in enumerate(linear.tolist()) if not is_linear}
        return Estimate(value, torch.zeros_like(value), missing)


def is_quadratic(energy: ScaledEnergy, modes: Modes) -> Tensor:
    """Whether U(z* + δ) = U(z*) + ½ δᵀ H δ for normal δ of the prior's width, (M,)."""
    import torch

    vectors = energy.vectors
    width = torch.where(vectors.used, (-0.5 * vectors.log_precision).exp() / energy.scale, 0.0)
    away = width.unsqueeze(1) * vectors.normals(POINTS, "exact")
    expected = modes.value.unsqueeze(1) + 0.5 * torch.einsum("msi,mij,msj->ms", away, modes.hessian, away)
    found = energy.value(modes.z.unsqueeze(1) + away)
    size = 1 + expected.abs() + modes.value.abs().unsqueeze(1)
    return ((found - expected).abs() <= TOLERANCE * size).all(1)
