"""Weights that stand in for one another, by the posterior's correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import CallError, Problem
from ...plugins import Relevance, WeightVectors
from ...plugins.registry import registry

if TYPE_CHECKING:
    from torch import Tensor


class Belsley(Relevance):
    """The largest share in the most collinear direction goes first, one weight after the other.

    R is the posterior covariance of the weights that are left, standardised: R_ij = Σ_ij / √(Σ_ii Σ_jj), with
    eigenvectors u_j and eigenvalues λ_j. The condition indices are η_j = λ_max / λ_j; of the largest, j*, the weight
    with the largest share (u_ij*² / λ_j*) / Σ_j (u_ij² / λ_j) is removed. Belsley, Kuh and Welsch, "Regression
    diagnostics" (1980), applied to the covariance of weights.

    It needs a full covariance: standardised, a diagonal one has no direction to choose.
    """

    type = "belsley"
    sequential = True

    @staticmethod
    def conflicts(spec: Any) -> list[Problem]:
        """A posterior without correlations."""
        given = spec.posterior.weights.type
        family = registry().get("weight_posteriors", given)
        if family.is_normal and not family.independent:
            return []
        message = f"got {given}; criterion belsley goes by the correlations of the posterior"
        return [Problem("posterior.weights.type", message, "set it to full, or leave belsley out")]

    @staticmethod
    def scores(options: Any, weights: WeightVectors, kept: Tensor) -> Tensor:
        """The negative of the share in the most collinear direction; raises `CallError` without a covariance."""
        import torch

        if weights.covariance is None:
            raise CallError("criterion belsley needs a full covariance of q(w); set posterior.weights.type: full")
        left = torch.argsort(~kept, dim=1, stable=True)[:, : int(kept.sum(1).max())]
        shares = collinear_shares(standardised(weights.covariance, left, kept.gather(1, left)))
        return torch.zeros_like(weights.mean).scatter(1, left, -shares)


def standardised(covariance: Tensor, left: Tensor, present: Tensor) -> Tensor:
    """R of the weights numbered `left` (M, k), (M, k, k); a unit row and column where `present` (M, k) is false."""
    import torch

    size = covariance.shape[-1]
    rows = covariance.gather(1, left.unsqueeze(-1).expand(-1, -1, size))
    chosen = rows.gather(2, left.unsqueeze(1).expand(-1, left.shape[1], -1))
    chosen = chosen.where(present.unsqueeze(-1) & present.unsqueeze(-2), 0.0) + torch.diag_embed((~present).to(rows))
    scale = chosen.diagonal(dim1=-2, dim2=-1).rsqrt()
    correlation: Tensor = chosen * scale.unsqueeze(-1) * scale.unsqueeze(-2)
    return correlation


def collinear_shares(correlation: Tensor) -> Tensor:
    """(u_ij*² / λ_j*) / Σ_j (u_ij² / λ_j) of every weight i, (M, k), for the j* of the largest λ_max / λ_j."""
    import torch

    values, vectors = torch.linalg.eigh(correlation)  # ascending: the first is that of the largest condition index
    parts = vectors.square() / values.clamp(min=torch.finfo(values.dtype).tiny).unsqueeze(-2)
    shares: Tensor = parts[..., 0] / parts.sum(-1)
    return shares
