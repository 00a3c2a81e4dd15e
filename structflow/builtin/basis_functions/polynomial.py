"""A polynomial of every input, summed: the classical picture of model selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ...plugins import BasisFunction, BasisOptions, Shape
from .linear import affine, affine_shapes

if TYPE_CHECKING:
    from torch import Tensor


class PolynomialOptions(BasisOptions):
    """Keys of the basis function `polynomial`."""

    degree: int = Field(2, ge=0, le=50, description="Highest power of each input; 0 leaves the constant.")
    family: Literal["power", "legendre", "hermite"] = Field(
        "power", description="Basis of the polynomials: x^k, Legendre P_k, or probabilists' Hermite He_k/√k!."
    )


class Polynomial(BasisFunction):
    """g(x; W, b) = b + Σ_i Σ_{k=1}^{degree} W_{ik} p_k(x_i) for vectors x.

    `power`: p_k(x) = x^k. `legendre`: orthogonal on [−1, 1], (k+1) P_{k+1} = (2k+1) x P_k − k P_{k−1}. `hermite`:
    orthonormal under the standard normal, √(k+1) h_{k+1} = x h_k − √k h_{k−1}. W is (inputs · degree, outputs),
    input by input, b is (outputs,); degree 0 leaves b alone.
    """

    type = "polynomial"
    Options = PolynomialOptions
    linear_in_weights = True

    @classmethod
    def label(cls, options: PolynomialOptions) -> str:
        return f"polynomial:{options.degree}"

    @classmethod
    def ignores_input(cls, options: PolynomialOptions) -> bool:
        return options.degree == 0

    @classmethod
    def weight_shapes(cls, options: PolynomialOptions, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        shapes = affine_shapes(cls.type, in_shape, out_shape, bias=True)
        if options.degree == 0:
            return {"bias": shapes["bias"]}
        return {**shapes, "weight": (in_shape[0] * options.degree, *out_shape)}

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: 0.0 * normal for name, normal in normals.items()}  # the optimum is unique: start at its centre

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        if self.options.degree == 0:
            return weights["bias"].expand(x.shape[0], *self.out_shape)
        return affine(weights, self.features(x))

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        if self.options.degree == 0:
            return variances["bias"].expand(x.shape[0], *self.out_shape)
        return affine(variances, self.features(x).square())

    def features(self, x: Tensor) -> Tensor:
        """p_1(x_i) … p_degree(x_i) of every input: (rows, inputs · degree)."""
        import torch

        values = [torch.ones_like(x), x]
        for k in range(1, self.options.degree):
            previous, current = values[-2], values[-1]
            if self.options.family == "power":
                following = x * current
            elif self.options.family == "legendre":
                following = ((2 * k + 1) * x * current - k * previous) / (k + 1)
            else:
                following = (x * current - k**0.5 * previous) / (k + 1) ** 0.5
            values.append(following)
        return torch.stack(values[1:], dim=-1).flatten(start_dim=1)
