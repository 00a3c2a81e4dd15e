"""A basis function with an example, ready to be called."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..plugins import BasisFunction, Shape
from .compiled import CompiledSubject, Part
from .numbers import DOUBLE, Weights, flattened, normal

ROWS = 16


class BasisSubject(CompiledSubject):
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

    def compiled_part(self, members: int) -> tuple[Part, tuple[object, ...]]:
        """g and the gradient of `total`, by the weights or, where there are none, by x; and weights and inputs."""

        def compute(weights: Weights, x: Tensor) -> tuple[Tensor, Weights]:
            if not weights:
                by_x, output = grad(lambda rows: with_output(self.forward({}, rows)), has_aux=True)(x)
                return output, {"x": by_x}
            slope = grad(lambda of_member, rows: with_output(self.forward(of_member, rows)), has_aux=True)
            by_weights, output = vmap(slope, (0, None))(weights, x)
            return output, by_weights

        return compute, (self.weights(members), self.rows())

    def total(self, weights: Weights, x: Tensor) -> Tensor:
        """A smooth number that every output has part in."""
        return with_output(self.forward(weights, x))[0]


def with_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """Σ a_i g_i + ½ Σ g_i² with a_i = cos i; and the output again."""
    return flattened(output) + 0.5 * output.square().sum(), output
