"""An affine map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...errors import ShapeMismatch
from ...plugins import BasisFunction, BasisOptions, Shape

if TYPE_CHECKING:
    from torch import Tensor


class LinearOptions(BasisOptions):
    """Keys of the basis function `linear`."""

    bias: bool = Field(True, description="Whether a constant is added.")


class Linear(BasisFunction):
    """g(x; W, b) = xᵀW + b for vectors x: W is (inputs, outputs), b is (outputs,)."""

    type = "linear"
    Options = LinearOptions
    linear_in_weights = True

    @classmethod
    def keeps_zero(cls, options: LinearOptions) -> bool:
        return not options.bias

    @classmethod
    def weight_shapes(cls, options: LinearOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return affine_shapes(cls.type, in_shape, out_shape, options.bias)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(weights, x)

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(variances, x * x)


def affine_shapes(name: str, in_shape: Shape, out_shape: Shape, bias: bool) -> dict[str, Shape]:
    """Weights of an affine map between vectors; raises `ShapeMismatch` for anything else."""
    if len(in_shape) != 1 or len(out_shape) != 1:
        raise ShapeMismatch(f"{name} maps a vector to a vector; got {list(in_shape)} to {list(out_shape)}")
    shapes: dict[str, Shape] = {"weight": (*in_shape, *out_shape)}
    return shapes | {"bias": out_shape} if bias else shapes


def affine(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """xᵀW + b, without b where there is none."""
    product = x @ weights["weight"]
    return product + weights["bias"] if "bias" in weights else product
