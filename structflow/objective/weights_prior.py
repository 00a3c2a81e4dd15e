"""p(w | h) = N(0, A⁻¹): the precisions A of a population, one for each member, function or weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..model.group_index import GroupTensors, to_members, to_slots
from ..model.population import Population
from ..spec.models import InverseGamma
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
    hyperprior: InverseGamma | None = None

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

    def log_hyperprior(self, parameters: Parameters, like: Tensor, groups: Sequence[GroupTensors]) -> Tensor:
        """log p(h), (M,): the inverse gamma density of log v = −log A, summed over the learned precisions."""
        total = like.new_zeros(self.population.size)
        if self.hyperprior is None or not self.learned:
            return total
        if self.grouping == "shared":
            return total + log_inverse_gamma(parameters["log_precision"], self.hyperprior)
        for group, tensors in zip(self.population.layout.groups, groups, strict=True):
            names = [f"log_precision/{group.name}"]
            if self.grouping == "per_parameter":
                names = [f"log_precision/{group.name}/{weight}" for weight in group.shapes]
            for name in names:
                density = log_inverse_gamma(parameters[name], self.hyperprior)
                total = total + to_members(density.reshape(len(density), -1).sum(1), tensors)
        return total


def log_inverse_gamma(log_precision: Tensor, hyperprior: InverseGamma) -> Tensor:
    """λ₁ log λ₂ − ln Γ(λ₁) + λ₁ log A − λ₂ A: the density of log v, which vanishes as λ₁, λ₂ → 0 up to a constant."""
    shape, scale = hyperprior.shape, hyperprior.scale
    constant = shape * math.log(scale) - math.lgamma(shape)
    return constant + shape * log_precision - scale * log_precision.exp()
