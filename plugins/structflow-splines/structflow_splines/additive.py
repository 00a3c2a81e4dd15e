"""Sums of functions of single inputs, each a combination of fixed features: what splines and Fourier series share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from structflow.plugins import BasisFunction, Shape

from .vectors import vector_sizes

if TYPE_CHECKING:
    from torch import Tensor


class AdditiveFunction(BasisFunction):
    """g_j(x; W, b) = b_j + Σ_i Σ_m W_{imj} φ_m(x_i) for vectors x, with features φ_1 … φ_F that have no weights.

    W is (inputs · F, outputs), input by input; b is (outputs,). A class derived from it gives F and the features.
    """

    linear_in_weights = True

    @classmethod
    @abstractmethod
    def features_per_input(cls, options: Any) -> int:
        """F."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """φ_1(x) … φ_F(x) of every element of x, on a new last axis: (…, F)."""

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        inputs, outputs = vector_sizes(cls.type, in_shape, out_shape)
        return {"weight": (inputs * cls.features_per_input(options), outputs), "bias": (outputs,)}

    def start(self, normals: dict[str, Tensor]) -> dict[str, Tensor]:
        """W ~ N(0, 1/inputs), b = 0: the squares of one input's features add up to ½ to 1, so g has about that."""
        return {"weight": normals["weight"] / math.sqrt(self.in_shape[0]), "bias": 0.0 * normals["bias"]}

    def forward(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.features(x).flatten(start_dim=1) @ weights["weight"] + weights["bias"]

    def output_variance(self, variances: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.features(x).square().flatten(start_dim=1) @ variances["weight"] + variances["bias"]
