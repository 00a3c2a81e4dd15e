"""A fixed function applied to every element, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...errors import ShapeMismatch
from ...plugins import BasisFunction, BasisOptions, Shape

if TYPE_CHECKING:
    from torch import Tensor

ElementwiseFunction = Literal[
    "tanh", "relu", "sigmoid", "softplus", "gelu", "silu", "elu", "sin", "cos", "exp", "square", "abs", "gaussian"
]

KEEP_ZERO = frozenset({"tanh", "relu", "gelu", "silu", "elu", "sin", "square", "abs"})
"""The functions with φ(0) = 0."""


def apply_elementwise(name: ElementwiseFunction, x: Tensor) -> Tensor:
    """φ(x) of every element; `gaussian` is exp(−x²/2)."""
    from torch.nn import functional

    if name in ("softplus", "gelu", "silu", "elu"):
        activated: Tensor = getattr(functional, name)(x)
        return activated
    if name == "gaussian":
        return (-0.5 * x * x).exp()
    applied: Tensor = getattr(x, name)()
    return applied


class ElementwiseOptions(BasisOptions):
    """Keys of the basis function `elementwise`."""

    function: ElementwiseFunction = Field("tanh", description="φ, applied to every element.")


class Elementwise(BasisFunction):
    """g(x) = φ(x) element by element; input and output have one shape."""

    type = "elementwise"
    Options = ElementwiseOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: ElementwiseOptions) -> str:
        return f"elementwise:{options.function}"

    @classmethod
    def keeps_zero(cls, options: ElementwiseOptions) -> bool:
        return options.function in KEEP_ZERO

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return no_weights(cls.type, in_shape, out_shape)

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return apply_elementwise(self.options.function, x)


def no_weights(name: str, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
    """For functions that keep the shape and have no weights; raises `ShapeMismatch` where it changes."""
    if in_shape != out_shape:
        raise ShapeMismatch(f"{name} keeps the shape; got {list(in_shape)} to {list(out_shape)}")
    return {}
