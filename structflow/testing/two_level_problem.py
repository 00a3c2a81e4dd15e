"""A small quadratic problem of two levels that hypergradients are asked about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .numbers import DOUBLE, normal

THETA, HYPER = 4, 2
"""Numbers of θ and of h that a member has."""

OWN = THETA + HYPER

STEP, MOMENTUM, STEPS = 0.1, 0.5, 5
"""Rate and momentum of the steps of θ, and how many led to the point."""


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

    @property
    def flat(self) -> Tensor:
        """θ and h of the point, (P,)."""
        return self._flat(self.theta, self.hyper)

    @property
    def step_sizes(self) -> Tensor:
        """How far a number moves for a unit of its gradient, (P,)."""
        return torch.full_like(self.flat, STEP)

    def sizes(self, gradient: Tensor) -> Tensor:
        """The same, whatever the gradient."""
        return self.step_sizes

    @property
    def previous(self) -> QuadraticPoint:
        """The point itself: θ rests."""
        return self

    @property
    def path(self) -> QuadraticPath:
        """Steps that led here: they rest, since θ is θ*(h)."""
        return QuadraticPath(self)

    def after(self, move: Tensor) -> QuadraticPoint:
        """The point moved by (P,)."""
        moved = (self.flat + move).reshape(self.members, OWN)
        return replace(self, theta=moved[:, :THETA], hyper=moved[:, THETA:])

    def inner_gradient(self) -> Tensor:
        """∇L = (B h − A θ, Bᵀ θ)."""
        by_theta = self._times(self.B, self.hyper) - self._times(self.A, self.theta)
        return self._flat(by_theta, self._times(self.B.mT, self.theta))

    def evidence_gradient(self) -> Tensor:
        """∇Q, for a method whose Q is the evidence."""
        return self.outer_gradient()

    def outer_gradient(self) -> Tensor:
        """∇Q = (t − θ, b − h)."""
        return self._flat(self.target - self.theta, self.slope - self.hyper)

    def curvature_product(self, direction: Tensor) -> Tensor:
        """∇²(−L) · v = (A v_θ − B v_h, −Bᵀ v_θ)."""
        v = direction.reshape(self.members, OWN)
        along, across = v[:, :THETA], v[:, THETA:]
        by_theta = self._times(self.A, along) - self._times(self.B, across)
        return self._flat(by_theta, -self._times(self.B.mT, along))

    def mixed_product(self, direction: Tensor) -> Tensor:
        """(∇²_{θh}(−L))ᵀ v = −Bᵀ v_θ, (P,) and zero along θ."""
        product = self.curvature_product(direction)
        return torch.where(self.of_theta, torch.zeros_like(product), product)

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


@dataclass(frozen=True)
class QuadraticPath:
    """The steps that led to a point at θ*(h), where L is stationary: start and end are that point; an `InnerPath`."""

    point: QuadraticPoint
    length: int = STEPS
    momentum: float = MOMENTUM

    @property
    def start(self) -> Tensor:
        """θ_0 and h, (P,)."""
        return self.point.flat

    @property
    def start_velocity(self) -> Tensor:
        """v_0 = 0, (P,)."""
        return torch.zeros_like(self.point.flat)

    @property
    def end(self) -> Tensor:
        """θ_η and h, (P,)."""
        return self.point.flat

    @property
    def moves(self) -> Tensor:
        """Which numbers the steps move: those of θ, (P,)."""
        return self.point.of_theta

    def rate(self, step: int) -> Tensor:
        """β, the same at every step."""
        return torch.tensor(STEP, dtype=DOUBLE)

    def gradient(self, step: int, at: Tensor) -> Tensor:
        """∇_θ L at θ_τ, (P,)."""
        slope = self.point.after(at - self.point.flat).inner_gradient()
        return torch.where(self.moves, slope, torch.zeros_like(slope))

    def curvature_product(self, step: int, at: Tensor, direction: Tensor) -> Tensor:
        """∇²(−L) · v, the same everywhere, (P,)."""
        return self.point.curvature_product(direction)


def quadratic_point(members: int = 3, at_the_target: bool = False) -> QuadraticPoint:
    """A point where θ is θ*(h) = A⁻¹ B h; with `at_the_target` Q's maximum over θ too, so that ∇_θ Q = 0."""
    root = 0.4 * normal(members, THETA, THETA, seed=31)
    A = root @ root.mT + torch.eye(THETA, dtype=DOUBLE)
    B, hyper = normal(members, THETA, HYPER, seed=32), normal(members, HYPER, seed=33)
    theta = torch.linalg.solve(A, (B @ hyper.unsqueeze(-1))).squeeze(-1)
    target = theta if at_the_target else normal(members, THETA, seed=34)
    return QuadraticPoint(A, B, target, normal(members, HYPER, seed=35), theta, hyper)


def round_point(curvature: float, members: int = 3) -> QuadraticPoint:
    """A point where θ is θ*(h) = B h / a with A = a I, which curves alike in all directions; a is the `curvature`."""
    point = quadratic_point(members)
    eye = torch.eye(THETA, dtype=DOUBLE).expand(members, THETA, THETA)
    theta = (point.B @ point.hyper.unsqueeze(-1)).squeeze(-1) / curvature
    return replace(point, A=curvature * eye, theta=theta)
