"""Gaussian bumps around learned centres: a radial basis function network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from structflow.plugins import BasisFunction, BasisOptions, Shape

from .vectors import vector_sizes

if TYPE_CHECKING:
    from torch import Tensor

MOST_LOG_SHARPNESS = 60.0
"""Bumps are no narrower than exp(−30) times the spread of the inputs, so that 1/s² stays finite in single precision."""


class RadialOptions(BasisOptions):
    """Keys of the basis function `radial`."""

    units: int = Field(10, ge=1, le=100_000, description="Number of centres.")


class Radial(BasisFunction):
    """g(x; W, b, C, ρ) = b + Σ_m W_m exp(−‖x − C_m‖² / (2 s_m²)), s_m = √inputs · exp(ρ_m), for vectors x.

    Centres C_m and widths s_m are learned, so that the bumps go where the target bends, with inputs together rather
    than one by one: unlike `b_spline` it has interactions. Far from all centres g is b.

    Scale, for standardised inputs: all weights have the prior N(0, 1/A). Under A = 1 centres are spread as the inputs
    are. Two inputs of that spread lie √(2 · inputs) apart, and √inputs makes s_m grow with that: at ρ_m = 0 a bump is
    exp(−1) of its height there, in any number of dimensions. W is (units, outputs), b (outputs,), C (units, inputs),
    ρ (units,); they are called `weight`, `bias`, `centre` and `log_width`.

    Source: Broomhead and Lowe 1988, Multivariable Functional Interpolation and Adaptive Networks, Complex Systems 2.
    """

    type = "radial"
    Options = RadialOptions

    @classmethod
    def label(cls, options: RadialOptions) -> str:
        """`radial:UNITS`."""
        return f"radial:{options.units}"

    @classmethod
    def weight_shapes(cls, options: RadialOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        inputs, outputs = vector_sizes(cls.type, in_shape, out_shape)
        units = options.units
        return {"weight": (units, outputs), "bias": (outputs,), "centre": (units, inputs), "log_width": (units,)}

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """C ~ N(0, 1), as standardised inputs are; W ~ N(0, 1/units); b and ρ are 0."""
        return {
            "weight": normals["weight"] / math.sqrt(self.options.units),
            "bias": 0.0 * normals["bias"],
            "centre": normals["centre"],
            "log_width": 0.0 * normals["log_width"],
        }

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        distance = (x.unsqueeze(-2) - weights["centre"]).square().mean(-1)  # ‖x − C_m‖² / inputs, (rows, units)
        sharpness = (-2.0 * weights["log_width"]).clamp(max=MOST_LOG_SHARPNESS).exp()
        bumps = (-0.5 * distance * sharpness).exp()
        return bumps @ weights["weight"] + weights["bias"]
