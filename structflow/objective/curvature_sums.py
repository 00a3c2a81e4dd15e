"""Sums over rows of the curvature of a likelihood, where one set of sums serves every h.

Where Λ_i is diag λ for all rows, or doesn't depend on h, H = A + Σ_o λ_o Σ_i c_i J_io J_ioᵀ depends on h through A
and λ alone. Of members with more weights than numbers of output the kernels K_g = Σ_{k ∈ g} J_·k J_·kᵀ of the weights
of each precision take the place of H: I + Λ^½ J A⁻¹ Jᵀ Λ^½ = I + Λ^½ (Σ_g K_g / a_g) Λ^½.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..distributions.curved_normal import ByRows, ByWeights, CurvedNormal, Independent, factor_of_one_more


@dataclass(frozen=True)
class Determined:
    """A_kk (H⁻¹)_kk of every weight (M, n), and Σ_i c_i λ_o (J_i H⁻¹ J_iᵀ)_oo of every number of the output (M, out).

    The former may be a mean over weights of one precision. Half the sum of their products with d log A and d log λ is
    d ½ log|H|.
    """

    by_prior: Tensor
    by_outputs: Tensor


class CurvatureSums(ABC):
    """Sums of M members with n weights; λ (M, out) are the `factors`, and a (M, n) is the prior's `precision`."""

    @abstractmethod
    def normal(self, precision: Tensor, factors: Tensor) -> CurvedNormal:
        """N(0, H⁻¹)."""

    @abstractmethod
    def determined(self, precision: Tensor, factors: Tensor) -> Determined:
        """What the gradient of log|H| with respect to h needs from H⁻¹."""


@dataclass(frozen=True)
class GramSums(CurvatureSums):
    """Σ_i c_i J_io J_ioᵀ in `grams` (M, out, n, n)."""

    grams: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> GramSums:
        """From √c_i J_io (M, rows, out, n)."""
        by_output = rows.transpose(1, 2)
        return cls(by_output.mT @ by_output)

    def plus(self, rows: Tensor) -> GramSums:
        """With more rows."""
        return GramSums(self.grams + GramSums.of(rows).grams)

    def normal(self, precision: Tensor, factors: Tensor) -> ByWeights:
        """N(0, H⁻¹)."""
        return ByWeights.of((factors[:, :, None, None] * self.grams).sum(1), precision)

    def determined(self, precision: Tensor, factors: Tensor) -> Determined:
        """What the gradient of log|H| with respect to h needs from H⁻¹."""
        inverse = self.normal(precision, factors).inverse
        by_prior = precision * inverse.diagonal(dim1=1, dim2=2)
        if factors.shape[1] == 1:  # the two add up to n
            return Determined(by_prior, (1 - by_prior).sum(1, keepdim=True))
        return Determined(by_prior, factors * (inverse.unsqueeze(1) * self.grams).flatten(2).sum(2))


@dataclass(frozen=True)
class DiagonalSums(CurvatureSums):
    """The diagonals of the same in `squares` (M, out, n)."""

    squares: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> DiagonalSums:
        """From √c_i J_io (M, rows, out, n)."""
        return cls(rows.square().sum(1))

    def plus(self, rows: Tensor) -> DiagonalSums:
        """With more rows."""
        return DiagonalSums(self.squares + rows.square().sum(1))

    def normal(self, precision: Tensor, factors: Tensor) -> Independent:
        """N(0, H⁻¹)."""
        return Independent(precision + (factors.unsqueeze(2) * self.squares).sum(1))

    def determined(self, precision: Tensor, factors: Tensor) -> Determined:
        """What the gradient of log|H| with respect to h needs from H⁻¹."""
        variance = self.normal(precision, factors).variance
        return Determined(precision * variance, factors * (variance.unsqueeze(1) * self.squares).sum(2))


@dataclass(frozen=True)
class RowSums(CurvatureSums):
    """√c_i J_io itself in `rows` (M, rows, out, n); `groups` (M, n) numbers a member's precisions from 0.

    Weights of no precision, which aren't there, have the number `count`; without groups every weight has its own.
    """

    rows: Tensor
    groups: Tensor | None
    count: int

    def plus(self, rows: Tensor) -> RowSums:
        """With more rows."""
        return RowSums(torch.cat([self.rows, rows], dim=1), self.groups, self.count)

    def normal(self, precision: Tensor, factors: Tensor) -> ByRows:
        """N(0, H⁻¹)."""
        scaled = factors.sqrt()[:, None, :, None] * self.rows
        return ByRows.of(scaled.flatten(1, 2), precision)

    @cached_property
    def kernels(self) -> Tensor:
        """K_g, (M, count, rows · out, rows · out)."""
        assert self.groups is not None
        rows, found = self.rows.flatten(1, 2), []
        for number in range(self.count):
            own = rows * (self.groups == number).unsqueeze(1)
            found.append(own @ rows.mT)
        return torch.stack(found, dim=1)

    def determined(self, precision: Tensor, factors: Tensor) -> Determined:
        """What the gradient of log|H| with respect to h needs from H⁻¹."""
        width = factors.shape[1]
        if self.groups is None:
            normal = self.normal(precision, factors)
            return Determined(precision * normal.variance, by_outputs(normal.factor, width))
        sizes = torch.zeros_like(precision[:, : self.count + 1]).scatter_add(1, self.groups, torch.ones_like(precision))
        totals = torch.zeros_like(sizes).scatter_add(1, self.groups, 1 / precision)
        weights = (totals / sizes.clamp(min=1))[:, : self.count].unsqueeze(1)
        root = factors.sqrt().repeat(1, self.rows.shape[1])
        both = root.unsqueeze(2) * root.unsqueeze(1)
        kernels = self.kernels.flatten(2)
        inverse = torch.cholesky_inverse(factor_of_one_more((weights @ kernels).reshape(both.shape) * both))
        along = (kernels @ (both * inverse).flatten(1).unsqueeze(2)).squeeze(2)
        shares = along * weights.squeeze(1) / sizes[:, : self.count].clamp(min=1)
        shares = torch.nn.functional.pad(shares, (0, 1))
        of_outputs = (1 - inverse.diagonal(dim1=1, dim2=2)).unflatten(1, (-1, width)).sum(1)
        return Determined(1 - shares.gather(1, self.groups), of_outputs)


def by_outputs(factor: Tensor, width: int) -> Tensor:
    """The sums over rows of 1 − (I + UUᵀ)⁻¹ for each number of the output, from the factor of I + UUᵀ."""
    inverse = torch.cholesky_inverse(factor)
    found: Tensor = (1 - inverse.diagonal(dim1=1, dim2=2)).unflatten(1, (-1, width)).sum(1)
    return found
