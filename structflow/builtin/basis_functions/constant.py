"""A learned constant, whatever the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...plugins import BasisFunction, Shape

if TYPE_CHECKING:
    from torch import Tensor


class Constant(BasisFunction):
    """g(x; b) = b, with b of the output's shape."""

    type = "constant"
    linear_in_weights = True

    @classmethod
    def ignores_input(cls, options: Any) -> bool:
        return True

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return {"bias": out_shape}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return weights["bias"].expand(x.shape[0], *self.out_shape)

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.forward(variances, x)
