"""From an image to a vector, the last step of a classifier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, Shape

from .activation import activate, gain
from .options import ActivatedOptions
from .start import scaled_start

if TYPE_CHECKING:
    from torch import Tensor


class FlatLinear(BasisFunction):
    """g(x; W, b) = vec(φ(x))ᵀ W + b: every number of an image has a weight to every number of a vector.

    vec is row-major; W is (channels · height · width, outputs), b is (outputs,), φ the `activation`. W starts with
    variance 2 / (channels · height · width) (1 without a rectifier).
    """

    type = "flat_linear"
    Options = ActivatedOptions
    linear_in_weights = True

    @classmethod
    def weight_shapes(cls, options: ActivatedOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return head_shapes(cls.type, options, in_shape, out_shape, math.prod(in_shape))

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return scaled_start(normals, {"weight": gain(self.options.activation)})

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(weights, activate(self.options.activation, x).flatten(1))

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(variances, activate(self.options.activation, x).flatten(1).square())


class PooledLinear(BasisFunction):
    """g(x; W, b) = m(x)ᵀ W + b with m(x)_c the mean of φ(x)_c over height and width: where in the image doesn't count.

    W is (channels, outputs), b is (outputs,), φ the `activation`. W starts with variance 2 / channels (1 without a
    rectifier).
    """

    type = "pooled_linear"
    Options = ActivatedOptions
    linear_in_weights = True

    @classmethod
    def weight_shapes(cls, options: ActivatedOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        return head_shapes(cls.type, options, in_shape, out_shape, in_shape[0] if in_shape else 0)

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return scaled_start(normals, {"weight": gain(self.options.activation)})

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(weights, self._means(x))

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return affine(variances, self._means(x).square())

    def _means(self, x: Tensor) -> Tensor:
        return activate(self.options.activation, x).mean((-2, -1))


def head_shapes(name: str, options: Any, in_shape: Shape, out_shape: Shape, inputs: int) -> dict[str, Shape]:
    """Weights of an affine map from `inputs` numbers of an image; raises `ShapeMismatch` for other shapes."""
    if len(in_shape) != 3 or len(out_shape) != 1:
        raise ShapeMismatch(
            f"{name} maps an image, channels × height × width, to a vector; got {list(in_shape)} to {list(out_shape)}; "
            "use it on an edge into y, or into a node with a shape such as [10]"
        )
    shapes: dict[str, Shape] = {"weight": (inputs, *out_shape)}
    return shapes | {"bias": out_shape} if options.bias else shapes


def affine(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """xᵀ W + b, without b where there is none."""
    product = x @ weights["weight"]
    return product + weights["bias"] if "bias" in weights else product
