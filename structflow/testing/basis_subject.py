"""A basis function with an example, ready to be called."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ..plugins import BasisFunction, Shape
from .numbers import DOUBLE, Weights, normal
from .subject import Subject

ROWS = 16


class BasisSubject(Subject):
    """A basis function of one example: `in_shape` to `out_shape`."""

    @property
    def in_shape(self) -> Shape:
        """Shape of an input row."""
        return tuple(self.example.in_shape)

    @property
    def out_shape(self) -> Shape:
        """Shape of an output row."""
        return tuple(self.example.out_shape)

    @cached_property
    def function(self) -> BasisFunction:
        """The basis function itself."""
        made: BasisFunction = self.plugin(self.options, self.in_shape, self.out_shape)
        return made

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of its weights."""
        found: dict[str, Shape] = self.plugin.weight_shapes(self.options, self.in_shape, self.out_shape)
        return found

    def weights(self, *leading: int, seed: int = 1, dtype: torch.dtype = DOUBLE) -> Weights:
        """Standard normal weights with leading axes (members, samples)."""
        return {
            name: normal(*leading, *shape, seed=100 * seed + number, dtype=dtype)
            for number, (name, shape) in enumerate(self.shapes.items())
        }

    def started(self, dtype: torch.dtype = DOUBLE) -> Weights:
        """Weights as a member starts with them."""
        return self.function.start(self.weights(seed=2, dtype=dtype))

    def rows(self, *leading: int, seed: int = 7, dtype: torch.dtype = DOUBLE) -> Tensor:
        """Standard normal inputs, (…, ROWS, *in_shape)."""
        return normal(*leading, ROWS, *self.in_shape, seed=seed, dtype=dtype)

    def forward(self, weights: Weights, x: Tensor) -> Tensor:
        """g(x; w) of one member."""
        return self.function.forward(weights, x)
