"""The contract of a basis function: a candidate g_l(· ; w_l) on an edge."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from .options import Options
from .plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


class BasisOptions(Options):
    """Keys every basis function has besides its own."""

    name: str | None = Field(None, description="Name within the edge; by default the type and its telling option.")
    share: str | None = Field(None, description="Basis functions with the same `share` use the same weights.")


class BasisFunction(Plugin):
    """g(x; w) for ONE member and one batch of rows; the population lifts it over members with `torch.func.vmap`.

    Write `weight_shapes` on plain tuples and `forward` on tensors. `forward` must be pure: no state, no random
    numbers, no branching on values. A function that is linear in its weights, g(x; a·u + b·v) = a·g(x; u) + b·g(x; v),
    sets `linear_in_weights` and gives `output_variance`; expectations over its weights are then exact under a
    Gaussian likelihood instead of sampled.

    `is_zero`, `keeps_zero` and `ignores_input` say which choices have no effect on the output of a network: structures
    that differ only in those are one. Each is a promise for all weights, inputs and shapes; without it such
    structures are trained separately.
    """

    Options: ClassVar[type[BasisOptions]] = BasisOptions
    linear_in_weights: ClassVar[bool] = False

    def __init__(self, options: Any, in_shape: Shape, out_shape: Shape):
        self.options = options
        self.in_shape = in_shape
        self.out_shape = out_shape

    @classmethod
    def label(cls, options: Any) -> str:
        """Name in a structure when the spec gives none, such as `dense:tanh`."""
        return cls.type

    @classmethod
    def is_zero(cls, options: Any) -> bool:
        """Whether g(x; w) = 0 for all x and w: choosing it switches the edge off."""
        return False

    @classmethod
    def keeps_zero(cls, options: Any) -> bool:
        """Whether g(0; w) = 0 for all w, as of a linear map without a bias."""
        return cls.is_zero(options)

    @classmethod
    def ignores_input(cls, options: Any) -> bool:
        """Whether neither g(x; w) nor the shapes of its weights depend on x or its shape, as of a constant."""
        return cls.is_zero(options)

    @classmethod
    @abstractmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """Shapes of the weights by name; raises `ShapeMismatch` where the function can't map in to out."""

    @abstractmethod
    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """g(x; w): x is (rows, *in_shape), the result (rows, *out_shape)."""

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """Starting means of the weights from standard normal draws of the same shapes.

        By default w ~ N(0, 1/fan_in) with fan_in the product of all axes but the last; vectors (biases) start at 0.
        """
        return {
            name: normal / math.sqrt(math.prod(normal.shape[:-1])) if normal.ndim > 1 else normal * 0.0
            for name, normal in normals.items()
        }

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        """Variance of g(x; w) for independent weights with these variances; only where `linear_in_weights`.

        With g = Σ_i w_i φ_i(x) it is Σ_i φ_i(x)² Var(w_i), shaped (rows, *out_shape).
        """
        raise TypeError(f"{self.type} is declared linear_in_weights but has no output_variance")
