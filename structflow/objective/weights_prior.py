"""p(w | h) = N(0, A⁻¹): the precisions A of a population, one for each member, function or weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..model.group_index import GroupTensors, to_slots
from ..model.population import Population
from .weights_posterior import GroupValues, Parameters

Grouping = Literal["shared", "per_function", "per_parameter"]


@dataclass(frozen=True)
class WeightsPrior:
    """Precisions grouped as the spec says, all starting from one value; hyperparameters where `learned`.

    Parameters: `log_precision` (M,) where shared, `log_precision/<group>` (C,) per function,
    `log_precision/<group>/<weight>` (C, *shape) per parameter.
    """

    population: Population
    grouping: Grouping
    start_precision: float
    learned: bool

    def start(self) -> Parameters:
        """Starting hyperparameters, in float64."""
        if not self.learned:
            return {}
        layout = self.population.layout
        slots = [len(index.slots) for index in self.population.groups]
        shapes: dict[str, tuple[int, ...]] = {}
        if self.grouping == "shared":
            shapes["log_precision"] = (self.population.size,)
        elif self.grouping == "per_function":
            shapes = {
                f"log_precision/{group.name}": (count,) for group, count in zip(layout.groups, slots, strict=True)
            }
        else:
            shapes = {
                f"log_precision/{group.name}/{name}": (count, *shape)
                for group, count in zip(layout.groups, slots, strict=True)
                for name, shape in group.shapes.items()
            }
        value = math.log(self.start_precision)
        return {name: torch.full(shape, value, dtype=torch.float64) for name, shape in shapes.items()}

    def log_precision(self, parameters: Parameters, like: Tensor, groups: Sequence[GroupTensors]) -> GroupValues:
        """log A of every weight, (C, 1, …) or (C, *shape); `like` gives dtype and device."""
        values = []
        for group, index, tensors in zip(self.population.layout.groups, self.population.groups, groups, strict=True):
            row: Tensor | None = None
            if not self.learned:
                row = like.new_full((len(index.slots),), math.log(self.start_precision))
            elif self.grouping == "shared":
                row = to_slots(parameters["log_precision"], tensors)
            elif self.grouping == "per_function":
                row = parameters[f"log_precision/{group.name}"]
            values.append(
                {
                    name: parameters[f"log_precision/{group.name}/{name}"]
                    if row is None
                    else row.reshape(-1, *(1,) * len(shape))
                    for name, shape in group.shapes.items()
                }
            )
        return values
