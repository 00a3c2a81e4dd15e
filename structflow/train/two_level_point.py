"""A point of the two-level problem: what a hypergradient is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from ..errors import CallError
from .curved import Curved
from .inner_path import Path
from .step import StepInputs


@dataclass(frozen=True)
class Point:
    """A point of the two-level problem; see `plugins.TwoLevelPoint`. `sizes` gives step sizes from ∇L, (P,) each."""

    flat: Tensor
    inputs: StepInputs
    iteration: int
    of_theta: Tensor
    sizes: Callable[[Tensor], Tensor]
    member_of: Tensor
    members: int
    program: Callable[[str], Callable[..., Tensor]]
    travelled: Path | None = None
    came_from: Tensor | None = None
    curved: Curved | None = None

    @property
    def previous(self) -> Point:
        """The point before the last step of θ, with the same noise; this one where that isn't known."""
        return self if self.came_from is None else replace(self, flat=self.came_from)

    @property
    def path(self) -> Path:
        """How θ came here; raises `CallError` for a method that doesn't say that it follows it."""
        if self.travelled is None:
            raise CallError("the path of θ is kept only for a method whose class says `follows_path = True`")
        return self.travelled

    def after(self, move: Tensor) -> Point:
        """The point with its numbers moved."""
        return replace(self, flat=self.flat + move)

    @property
    def step_sizes(self) -> Tensor:
        """How far a number moves for a unit of its gradient in the step from here."""
        return self.sizes(self.inner_gradient())

    def inner_gradient(self) -> Tensor:
        """∇ΣL, computed once."""
        return self._inner_gradient

    @cached_property
    def _inner_gradient(self) -> Tensor:
        return self.program("inner")(self.flat, self.inputs)

    def outer_gradient(self) -> Tensor:
        """∇ΣQ."""
        return self.program("outer")(self.flat, self.inputs)

    def evidence_gradient(self) -> Tensor:
        """∂/∂h of the evidence that the curvature gives; raises `CallError` for a method that isn't of it."""
        if self.curved is None:
            raise CallError("the curvature is looked at only for a method whose class says `of_curvature = True`")
        return self.curved.gradient(self.flat)

    def curvature_product(self, direction: Tensor) -> Tensor:
        """∇²(−ΣL) · v."""
        return self.program("curvature")(self.flat, direction, self.inputs)

    def mixed_product(self, direction: Tensor) -> Tensor:
        """(∇²_{θh}(−ΣL))ᵀ v, the part of `curvature_product` along h alone, for v along θ."""
        return self.program("mixed")(self.flat, direction, self.inputs)

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Every member's inner product."""
        return left.new_zeros(self.members).index_add(0, self.member_of, left * right)

    def spread(self, values: Tensor) -> Tensor:
        """Every member's value at its numbers."""
        return values.index_select(0, self.member_of)
