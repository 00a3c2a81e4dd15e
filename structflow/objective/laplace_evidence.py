"""Laplace's approximation to log evidence at the members' trained weights, and its gradient with respect to h.

    log p(y | h) ≈ log p(y | w*, h) + log p(w* | h) + ½ n log 2π − ½ log|H|

with H of `Linearised` (MacKay 1992; Immer et al. 2021). The gradient with respect to h, the precisions of the prior
and the likelihood's own parameters, is that at fixed w* and J: with Σ = H⁻¹ held,

    d log|H| = Σ_k Σ_kk dA_k + Σ_i c_i tr(J_i Σ J_iᵀ dΛ_i).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions.curved_normal import CurvedNormal
from ..distributions.normal import HALF_LOG_TWO_PI
from .linearised import Linearised
from .parameters import Parameters, Role


@dataclass
class LaplaceEvidence:
    """Of the members of a `Linearised` network, as a function of h; `parameters` hold h, those of w* are ignored."""

    linearised: Linearised

    def value(self, parameters: Parameters, normal: CurvedNormal | None = None) -> Tensor:
        """The approximation, (M,)."""
        with torch.no_grad():
            found = self.linearised.normal(parameters) if normal is None else normal
            count = self.linearised.vectors.used.to(self.linearised.counts).sum(1)
            return self._joint(parameters) + count * HALF_LOG_TWO_PI - 0.5 * found.log_determinant

    def gradient(self, parameters: Parameters, of_h: Sequence[Role]) -> Parameters:
        """d/dh of the sum over members of the approximation and log p(h), for h of these roles and 0 for the rest.

        NaN and infinite numbers are 0.
        """
        bound = self.linearised.vectors.bound
        with torch.no_grad():
            by_prior, by_outputs = self._of_curvature(parameters)
        held = {label: value.detach() for label, value in bound.labelled(parameters).items()}
        free = {
            label: value.clone().requires_grad_() for label, value in held.items() if bound.by_label[label].role in of_h
        }
        at = bound.of_labels({**held, **free})
        with torch.enable_grad():
            log_precision = self.linearised.vectors.with_parameters(at).log_precision
            total = self._joint(at).sum() + self._log_hyperprior(at).sum() - 0.5 * (by_prior * log_precision).sum()
            total = total - 0.5 * self._output_term(at, by_outputs)
            found = torch.autograd.grad(total, list(free.values()), allow_unused=True, materialize_grads=True)
        slopes = {label: value.nan_to_num(0.0, 0.0, 0.0) for label, value in zip(free, found, strict=True)}
        return bound.of_labels({label: torch.zeros_like(value) for label, value in held.items()} | slopes)

    def energy(self, w: Tensor) -> Tensor:
        """−log p(y, w | h) of weights w (M, n) at the h of the linearised members, (M,)."""
        vectors, at = self.linearised.vectors, w.unsqueeze(1)
        of_rows = vectors.bound.log_likelihood_of_outputs(vectors.parameters, vectors.y, vectors.outputs(at)).squeeze(1)
        return -(self.linearised.counts * of_rows).sum(1) - vectors.log_prior(at).squeeze(1)

    def _joint(self, parameters: Parameters) -> Tensor:
        """log p(y | w*, h) + log p(w* | h), (M,)."""
        vectors = self.linearised.vectors
        of_rows = vectors.bound.log_likelihood_of_outputs(parameters, vectors.y, self.linearised.outputs).squeeze(1)
        log_prior = vectors.with_parameters(parameters).log_prior(vectors.mean.unsqueeze(1)).squeeze(1)
        return (self.linearised.counts * of_rows).sum(1) + log_prior

    def _log_hyperprior(self, parameters: Parameters) -> Tensor:
        """log p(h), (M,)."""
        vectors = self.linearised.vectors
        groups = vectors.bound.population.indices.to(vectors.x.device).groups
        return vectors.bound.prior.log_hyperprior(parameters, vectors.x, groups)

    def _of_curvature(self, parameters: Parameters) -> tuple[Tensor, Tensor | None]:
        """A_kk Σ_kk (M, n), and what `_output_term` is made of.

        It is Σ_i c_i λ_o (J_i Σ J_iᵀ)_oo, (M, out), where Λ is diag λ, else c_i J_i Σ J_iᵀ of every row; None where Λ
        doesn't depend on h.
        """
        linearised, used = self.linearised, self.linearised.vectors.used
        if linearised.is_fixed:
            found = linearised.determined(parameters)
            depends = bool(linearised.vectors.bound.described.theta.likelihood)
            return found.by_prior.where(used, 0.0), found.by_outputs if depends else None
        normal, counts = linearised.normal(parameters), linearised.counts[:, :, None, None]
        by_prior = (linearised.precision(parameters) * normal.variance).where(used, 0.0)
        of_rows = [
            counts[:, block.begin : block.end] * normal.covariance_of(block.jacobian) for block in linearised.blocks()
        ]
        return by_prior, torch.cat(of_rows, dim=1)

    def _output_term(self, parameters: Parameters, by_outputs: Tensor | None) -> Tensor | float:
        """What has the derivative Σ_i c_i tr(J_i Σ J_iᵀ dΛ_i) by h, summed over members."""
        if by_outputs is None:
            return 0.0
        if self.linearised.is_fixed:
            return (by_outputs * self.linearised.factors_of_outputs(parameters).log()).sum()
        curvature = self.linearised.curvature_of_outputs(parameters, 0, self.linearised.vectors.rows)
        return (by_outputs * curvature).sum()
