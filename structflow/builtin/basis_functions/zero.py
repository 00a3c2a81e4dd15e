"""Nothing: choosing it switches the edge off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import BasisFunction, Shape

if TYPE_CHECKING:
    from torch import Tensor


class Zero(BasisFunction):
    """g(x) = 0 between any two shapes."""

    type = "zero"
    linear_in_weights = True

    @classmethod
    def is_zero(cls, options: Any) -> bool:
        return True

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return {}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return x.new_zeros((x.shape[0], *self.out_shape))
