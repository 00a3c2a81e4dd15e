"""A dense map followed by an activation that is learned: a quotient of two polynomials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from structflow.plugins import BasisFunction, BasisOptions, Shape

from .vectors import vector_sizes

if TYPE_CHECKING:
    from torch import Tensor

START_SD = 0.1
"""Standard deviation of the starting coefficients: off zero, where |Q| has a kink and no gradient."""


class RationalOptions(BasisOptions):
    """Keys of the basis function `rational`."""

    numerator: int = Field(3, ge=1, le=9, description="Degree of the numerator.")
    denominator: int = Field(2, ge=1, le=9, description="Degree of the denominator.")


class Rational(BasisFunction):
    """g(x; W, b, a, c) = R(xᵀW + b), R(z) = (z + Σ_{j=0}^{m} a_j p_j(z)) / (1 + |Σ_{k=1}^{n} c_k p_k(z)|).

    The safe Padé activation unit: the denominator is never below 1, so R has no poles. One R serves all outputs of
    the edge, as in the paper; m and n are the degrees `numerator` and `denominator`. Applied to a dense map it is
    the candidate next to `dense` that leaves the activation open instead of naming it.

    Scale: p_j(z) = z^j / √((2j − 1)!!) has the mean square 1 under z ~ N(0, 1), so that unit coefficients mean
    the same for every power. a and c are deviations from the identity: at a = c = 0, the middle of their prior,
    R(z) = z and g is linear. W is (inputs, outputs), b (outputs,), a (m + 1,), c (n,); they are called `weight`,
    `bias`, `numerator` and `denominator`.

    Source: Molina, Schramowski and Kersting 2020, Padé Activation Units, arXiv 1907.06732; there the powers are not
    scaled and R starts from a fit to a leaky ReLU.
    """

    type = "rational"
    Options = RationalOptions

    @classmethod
    def label(cls, options: RationalOptions) -> str:
        """`rational:m,n`."""
        return f"rational:{options.numerator},{options.denominator}"

    @classmethod
    def weight_shapes(cls, options: RationalOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        inputs, outputs = vector_sizes(cls.type, in_shape, out_shape)
        return {
            "weight": (inputs, outputs),
            "bias": (outputs,),
            "numerator": (options.numerator + 1,),
            "denominator": (options.denominator,),
        }

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """W ~ N(0, 1/inputs), b = 0, a and c ~ N(0, 0.1²): nearly the identity."""
        return {
            "weight": normals["weight"] / math.sqrt(self.in_shape[0]),
            "bias": 0.0 * normals["bias"],
            "numerator": START_SD * normals["numerator"],
            "denominator": START_SD * normals["denominator"],
        }

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        z = x @ weights["weight"] + weights["bias"]
        powers = scaled_powers(z, max(self.options.numerator, self.options.denominator))
        above = z + powers[..., : self.options.numerator + 1] @ weights["numerator"]
        below = powers[..., 1 : self.options.denominator + 1] @ weights["denominator"]
        return above / (1.0 + below.abs())


def scaled_powers(z: Tensor, degree: int) -> Tensor:
    """p_0(z) … p_degree(z) on a new last axis, p_j(z) = z^j / √((2j − 1)!!) = p_{j−1}(z) z / √(2j − 1)."""
    import torch

    powers = [torch.ones_like(z)]
    for j in range(1, degree + 1):
        powers.append(powers[-1] * z / math.sqrt(2 * j - 1))
    return torch.stack(powers, dim=-1)
