"""The input itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import BasisFunction, Shape
from .elementwise import no_weights

if TYPE_CHECKING:
    from torch import Tensor


class Identity(BasisFunction):
    """g(x) = x: a skip connection; input and output have one shape."""

    type = "identity"
    linear_in_weights = True

    @classmethod
    def keeps_zero(cls, options: Any) -> bool:
        return True

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return no_weights(cls.type, in_shape, out_shape)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return x
