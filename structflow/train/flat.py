"""All parameters of a population end to end in one vector, so that an optimiser's step is a handful of operations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..objective.parameters import Parameter, Parameters, Tree, by_label, of_labels


@dataclass(frozen=True)
class FlatLayout:
    """The parameters in the order of their labels, which is that of the vector, with their shapes."""

    tree: Tree[Parameter]
    shapes: tuple[tuple[Parameter, tuple[int, ...]], ...]

    @classmethod
    def of(cls, described: Tree[Parameter], parameters: Parameters) -> FlatLayout:
        """The layout of these parameters."""
        known, values = by_label(described, described), by_label(described, parameters)
        return cls(described, tuple((known[label], tuple(values[label].shape)) for label in sorted(values)))

    def pack(self, parameters: Parameters) -> Tensor:
        """One vector of all parameters; an empty one where there are none."""
        if not self.shapes:
            return torch.zeros(0)
        values = by_label(self.tree, parameters)
        return torch.cat([values[parameter.label].reshape(-1) for parameter, _ in self.shapes])

    def unpack(self, flat: Tensor) -> Parameters:
        """The parameters, as views of the vector."""
        parts = flat.split([math.prod(shape) for _, shape in self.shapes])
        labelled = zip(self.shapes, parts, strict=True)
        return of_labels(self.tree, {each.label: part.reshape(shape) for (each, shape), part in labelled})
