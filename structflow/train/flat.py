"""All parameters of a population end to end in one vector, so that an optimiser's step is a handful of operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FlatLayout:
    """Names and shapes of the parameters, in the order they stand in the vector."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> FlatLayout:
        """The layout of these parameters, by name: whatever order they come in, they fit the same program."""
        return cls(tuple((name, tuple(parameters[name].shape)) for name in sorted(parameters)))

    def pack(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """One vector of all parameters; an empty one where there are none."""
        if not self.shapes:
            return torch.zeros(0)
        return torch.cat([parameters[name].reshape(-1) for name, _ in self.shapes])

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters by name, as views of the vector."""
        parts = flat.split([math.prod(shape) for _, shape in self.shapes])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes, parts, strict=True)}
