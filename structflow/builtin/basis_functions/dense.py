"""An affine map followed by an activation: the layer of a plain network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from ...errors import ShapeMismatch
from ...plugins import BasisFunction, BasisOptions, Shape
from .elementwise import KEEP_ZERO, ElementwiseFunction, apply_elementwise
from .linear import affine, affine_shapes

if TYPE_CHECKING:
    from torch import Tensor


class DenseOptions(BasisOptions):
    """Keys of the basis function `dense`."""

    activation: ElementwiseFunction = Field("tanh", description="φ, applied to every output.")
    bias: bool = Field(True, description="Whether a constant is added before the activation.")
    rows: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="Inputs that are used (from 0); the weights of the others are held at zero."
    )

    @field_validator("rows")
    @classmethod
    def _rows_are_distinct(cls, rows: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if rows is not None and len(set(rows)) < len(rows):
            raise ValueError(f"rows are listed twice in {list(rows)}; list each input once")
        return rows


class Dense(BasisFunction):
    """g(x; W, b) = φ(xᵀW + b) for vectors x; W is (inputs, outputs), b is (outputs,), φ the activation.

    With `rows` only those inputs have weights, which is the map whose other rows of W are fixed at zero. Where
    such functions `share` their weights, W is the common full matrix and each uses its rows of it.
    """

    type = "dense"
    Options = DenseOptions

    @classmethod
    def label(cls, options: DenseOptions) -> str:
        rows = "" if options.rows is None else f"[{','.join(map(str, options.rows))}]"
        return f"dense:{options.activation}{rows}"

    @classmethod
    def keeps_zero(cls, options: DenseOptions) -> bool:
        return not options.bias and options.activation in KEEP_ZERO

    @classmethod
    def weight_shapes(cls, options: DenseOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        shapes = affine_shapes(cls.type, in_shape, out_shape, options.bias)
        if options.rows is None:
            return shapes
        beyond = [row for row in options.rows if row >= in_shape[0]]
        if beyond:
            raise ShapeMismatch(f"dense.rows {beyond} don't exist: the input has {in_shape[0]} rows, from 0")
        if options.share is None:
            shapes["weight"] = (len(options.rows), *out_shape)
        return shapes

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        rows = self.options.rows
        if rows is not None:
            x = x[:, list(rows)]
            if self.options.share is not None:
                weights = {**weights, "weight": weights["weight"][list(rows)]}
        return apply_elementwise(self.options.activation, affine(weights, x))
