"""A small quadratic problem of two levels that hypergradients are asked about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .numbers import DOUBLE, normal

THETA, HYPER = 4, 2
"""Numbers of θ and of h that a member has."""

OWN = THETA + HYPER


@dataclass(frozen=True)
class QuadraticPoint:
    """M members with −L = ½ θᵀAθ − θᵀBh and Q = −½ ‖θ − t‖² + bᵀh − ½ ‖h‖², at one point; a `TwoLevelPoint`.

    A (M, THETA, THETA) is positive definite, B (M, THETA, HYPER), t (M, THETA), b (M, HYPER), `theta` and `hyper` the
    point. Flat vectors hold for member after member its θ, then its h.
    """

    A: Tensor
    B: Tensor
    target: Tensor
    slope: Tensor
    theta: Tensor
    hyper: Tensor
    iteration: int = 0

    @property
    def members(self) -> int:
        """M."""
        return len(self.theta)

    @property
    def of_theta(self) -> Tensor:
        """Which numbers are of θ, (P,)."""
        return (torch.arange(OWN) < THETA).repeat(self.members)

    def inner_gradient(self) -> Tensor:
        """∇L = (B h − A θ, Bᵀ θ)."""
        by_theta = self._times(self.B, self.hyper) - self._times(self.A, self.theta)
        return self._flat(by_theta, self._times(self.B.mT, self.theta))

    def outer_gradient(self) -> Tensor:
        """∇Q = (t − θ, b − h)."""
        return self._flat(self.target - self.theta, self.slope - self.hyper)

    def curvature_product(self, direction: Tensor) -> Tensor:
        """∇²(−L) · v = (A v_θ − B v_h, −Bᵀ v_θ)."""
        v = direction.reshape(self.members, OWN)
        along, across = v[:, :THETA], v[:, THETA:]
        by_theta = self._times(self.A, along) - self._times(self.B, across)
        return self._flat(by_theta, -self._times(self.B.mT, along))

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Every member's inner product, (M,)."""
        return (left * right).reshape(self.members, OWN).sum(1)

    def spread(self, values: Tensor) -> Tensor:
        """Every member's value at its numbers, (P,)."""
        return values.repeat_interleave(OWN)

    def only(self, members: slice) -> QuadraticPoint:
        """The same without the other members."""
        names = ("A", "B", "target", "slope", "theta", "hyper")
        return replace(self, **{name: getattr(self, name)[members] for name in names})

    @staticmethod
    def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
        return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def _flat(of_theta: Tensor, of_h: Tensor) -> Tensor:
        return torch.cat([of_theta, of_h], 1).flatten()


def quadratic_point(members: int = 3, at_the_target: bool = False) -> QuadraticPoint:
    """A point where θ is θ*(h) = A⁻¹ B h; with `at_the_target` Q's maximum over θ too, so that ∇_θ Q = 0."""
    root = 0.4 * normal(members, THETA, THETA, seed=31)
    A = root @ root.mT + torch.eye(THETA, dtype=DOUBLE)
    B, hyper = normal(members, THETA, HYPER, seed=32), normal(members, HYPER, seed=33)
    theta = torch.linalg.solve(A, (B @ hyper.unsqueeze(-1))).squeeze(-1)
    target = theta if at_the_target else normal(members, THETA, seed=34)
    return QuadraticPoint(A, B, target, normal(members, HYPER, seed=35), theta, hyper)
