"""The curvature of −L by θ as a dense matrix of every member: exact, for small members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import CallError
from ..train.two_level_point import Point

MOST_NUMBERS = 2000
"""Numbers of θ of a member up to which its curvature is written out."""

FLAT = 1e-11
"""Curvatures below this share of the largest are taken for 0: directions that nothing depends on."""


@dataclass(frozen=True)
class DenseCurvature:
    """H = V diag(λ) Vᵀ of every member: λ (M, n) and V (M, n, n), of its θ at `places` (M, n), padded with `blank`.

    A direction with λ = 0, such as a common shift of all log s, has no part in a step.
    """

    places: Tensor
    blank: Tensor
    values: Tensor
    vectors: Tensor

    @property
    def is_flat(self) -> Tensor:
        """Which directions don't curve, (M, n)."""
        return self.values.abs() <= FLAT * self.values.abs().amax(1, keepdim=True)

    @property
    def is_definite(self) -> Tensor:
        """Whether no direction curves the wrong way, (M,)."""
        return ((self.values > 0) | self.is_flat).all(1)

    def inverse_times(self, direction: Tensor, without_sign: bool = False) -> Tensor:
        """H⁻¹ v (P,), or |H|⁻¹ v, which leads uphill from anywhere."""
        own = torch.where(self.blank, torch.zeros_like(self.values), direction[self.places])
        values = self.values.abs() if without_sign else self.values
        shares = torch.einsum("mij,mi->mj", self.vectors, own) / torch.where(self.is_flat, torch.inf, values)
        found = torch.einsum("mij,mj->mi", self.vectors, shares)
        flat = torch.zeros_like(direction)
        return flat.index_add(0, self.places.flatten(), torch.where(self.blank, 0.0, found).flatten())


def dense_curvature(point: Point) -> DenseCurvature:
    """H at a point, column by column, the k-th of every member at once; raises `CallError` for members too large."""
    owned = [torch.nonzero(point.of_theta & (point.member_of == member)).flatten() for member in range(point.members)]
    most = max(len(places) for places in owned)
    if most > MOST_NUMBERS:
        raise CallError(
            f"a member has {most:,} numbers of θ; --at optimum writes their curvature out and takes at most "
            f"{MOST_NUMBERS:,}: certify a smaller network, or leave --at out"
        )
    device = point.flat.device
    blank = torch.stack([torch.arange(most, device=device) >= len(places) for places in owned])
    places = torch.stack([torch.cat([each, each.new_zeros(most - len(each))]) for each in owned])
    columns = []
    for number in range(most):
        unit = torch.zeros_like(point.flat)
        unit[places[:, number][~blank[:, number]]] = 1
        columns.append(point.curvature_product(unit)[places])
    matrix = torch.stack(columns, dim=2)
    outside = blank[:, :, None] | blank[:, None, :]
    matrix = torch.where(outside, torch.eye(most, dtype=matrix.dtype, device=device), matrix)
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return DenseCurvature(places, blank, values, vectors)
