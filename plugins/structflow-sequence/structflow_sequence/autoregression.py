"""The classical baseline of forecasting: a linear map of the last values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, BasisOptions, Shape

from .series_shapes import series_sizes

if TYPE_CHECKING:
    from torch import Tensor


class AutoregressionOptions(BasisOptions):
    """Keys of the basis function `autoregression`."""

    order: int | None = Field(None, ge=1, description="How many of the last steps are used; by default all.")
    bias: bool = Field(True, description="Whether a constant is added.")


class Autoregression(BasisFunction):
    """g(x; Φ, b) = b + Σ_{k=1}^{p} x_{T+1−k}ᵀ Φ_k for a series x of length T: an AR(p) model of the step after it.

    x is (length, channels), Φ is (order, channels, outputs) with the latest step first, b is (outputs,). Linear in
    its weights, so that under a Gaussian likelihood they are integrated exactly. Box & Jenkins, Time Series Analysis:
    Forecasting and Control, 1970.
    """

    type = "autoregression"
    Options = AutoregressionOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: AutoregressionOptions) -> str:
        """`autoregression:9` where the order is given."""
        return cls.type if options.order is None else f"{cls.type}:{options.order}"

    @classmethod
    def weight_shapes(cls, options: AutoregressionOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """Φ as `weight` and b as `bias`; raises `ShapeMismatch` for an order above the length."""
        if len(out_shape) != 1:
            raise ShapeMismatch(f"{cls.type} maps a series to a vector [outputs]; got {list(out_shape)}")
        length, channels, outputs, _ = series_sizes(cls.type, in_shape, out_shape)
        order = options.order or length
        if order > length:
            raise ShapeMismatch(
                f"{cls.type}.order is {order}, but the series has {length} steps; give it at most {length}, "
                "or make the series longer"
            )
        shapes: dict[str, Shape] = {"weight": (order, channels, outputs)}
        return shapes | {"bias": (outputs,)} if options.bias else shapes

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """All at 0: the optimum is unique, so it starts at the centre."""
        return {name: 0.0 * normal for name, normal in normals.items()}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """(rows, length, channels) to (rows, outputs)."""
        return self._map(weights, x)

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        """Σ_k Σ_c x²_{T+1−k, c} Var(Φ_{kc}) + Var(b)."""
        return self._map(variances, x * x)

    def _map(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        order = self.options.order or self.in_shape[0]
        lags = x[:, -order:].flip(1).flatten(1)
        product = lags @ weights["weight"].flatten(0, 1)
        return product + weights["bias"] if "bias" in weights else product
