"""The weight posterior of a linear member, its factors end to end, as normal distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..objective.guarded_weights import GuardedPosterior
from ..objective.parameters import Named
from .linear_model import Gaussian


@dataclass(frozen=True)
class LinearFamily:
    """Normal distributions N(μ, Σ), or points, of n weights: a weight posterior for each of the factors of `sizes`."""

    posterior: GuardedPosterior
    sizes: tuple[int, ...]

    @property
    def has_density(self) -> bool:
        """Whether it isn't a point."""
        return self.posterior.plugin.has_density

    @property
    def independent(self) -> bool:
        """Whether Σ is diagonal."""
        return self.posterior.plugin.independent

    @property
    def unrestricted(self) -> bool:
        """Whether Σ may be any covariance."""
        return self.posterior.plugin.unrestricted and len(self.sizes) == 1

    def gaussian(self, factors: Sequence[Named], like: Tensor) -> Gaussian:
        """q(w) from the parameters of each factor; `like` gives dtype and device."""
        mean = torch.cat([like.new_zeros(0), *(own["mean"] for own in factors)])
        held = tuple({name: value for name, value in own.items() if name != "mean"} for own in factors)
        if not self.has_density:
            return Gaussian(mean, None, held)
        lifted = [{name: value.unsqueeze(0) for name, value in own.items()} for own in factors]
        if self.independent:
            deviations = [self.posterior.variance(own)[0].sqrt() for own in lifted]
            return Gaussian(mean, torch.cat([like.new_zeros(0), *deviations]), held)
        blocks = [triangular(self.posterior.columns(own)[0]) for own in lifted]
        return Gaussian(mean, blocks[0] if len(blocks) == 1 else torch.block_diag(*blocks), held)

    def point(self, mean: Tensor) -> Gaussian:
        """All of q at one point."""
        return Gaussian(mean, None, tuple({} for _ in self.sizes))

    def nearest(self, mean: Tensor, precision: Tensor) -> Gaussian:
        """The q with the least KL(q ‖ N(μ, P⁻¹)), P (n, n), or its diagonal (n,) where weights are independent.

        With Σ = diag(Σ_1, …) the divergence is ½ Σ_f [tr(P_ff Σ_f) − log|Σ_f|] up to a constant, a term a factor.
        """
        factors, begin = [], 0
        for size in self.sizes:
            part = slice(begin, begin + size)
            block = precision[part] if precision.ndim == 1 else precision[part, part]
            factors.append(self.posterior.nearest(mean[part], block))
            begin += size
        return self.gaussian(factors, mean)


def triangular(columns: Tensor) -> Tensor:
    """The lower triangular L (positive diagonal) with L Lᵀ = C Cᵀ, for C (n, k) of rank n; C itself if it is one."""
    if columns.shape[0] == columns.shape[1] and bool((columns.triu(1) == 0).all() & (columns.diagonal() > 0).all()):
        return columns
    factor: Tensor = torch.linalg.qr(columns.mT, mode="r").R.mT
    return factor * factor.diagonal().sign()
