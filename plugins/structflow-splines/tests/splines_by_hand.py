"""What the tests of this package share: functions made from options, and normal draws in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from structflow.plugins import BasisFunction, Shape
from structflow.plugins.registry import registry


def made(type_name: str, in_shape: Shape, out_shape: Shape, **options: Any) -> BasisFunction:
    """A basis function as a spec would make it."""
    registration = registry().of_kind("basis_functions")[type_name]
    function: BasisFunction = registration.plugin(
        registration.options.model_validate({"type": type_name, **options}), in_shape, out_shape
    )
    return function


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights_of(function: BasisFunction, *leading: int, seed: int = 1) -> dict[str, Tensor]:
    """Standard normal weights of a function."""
    shapes = function.weight_shapes(function.options, function.in_shape, function.out_shape)
    return {name: drawn(*leading, *shape, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


def as_numpy(weights: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in weights.items()}
