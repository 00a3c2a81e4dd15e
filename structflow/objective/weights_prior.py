"""p(w | h): the precisions A of a population, one for each member, function or weight, under the spec's prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.group_index import GroupTensors, to_members, to_slots
from ..model.layout import WeightGroup
from ..model.population import Population
from ..plugins import Grouping, InverseGamma
from .guarded_weights import GuardedPrior
from .noise import NoiseField, NoiseLayout, draw_once
from .parameters import Parameter, Parameters, Role
from .weights_posterior import GroupValues


@dataclass(frozen=True)
class WeightsPrior:
    """Precisions grouped as the spec says, starting from one value or at random; hyperparameters where `learned`.

    Parameters: `log_precision` (M,) where shared, `log_precision/<group>` (C,) per function,
    `log_precision/<group>/<weight>` (C, *shape) per parameter.
    """

    population: Population
    family: GuardedPrior

    @property
    def grouping(self) -> Grouping:
        """Which weights have one precision in common."""
        grouping: Grouping = self.family.options.grouping
        return grouping

    @property
    def start_precision(self) -> float:
        """The precision that is set, or the one that learning starts from."""
        return float(self.family.options.start)

    @property
    def learned(self) -> bool:
        """Whether precisions are hyperparameters."""
        return bool(self.family.options.is_learned)

    @property
    def hyperprior(self) -> InverseGamma | None:
        """That of learned variances 1/A."""
        hyperprior: InverseGamma | None = self.family.options.hyperprior
        return hyperprior

    @property
    def is_normal(self) -> bool:
        """Whether p(w | h) = N(0, A⁻¹)."""
        return self.family.plugin.is_normal

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What each parameter is, by name."""
        if not self.learned:
            return {}
        if self.grouping == "shared":
            return {"log_precision": Parameter(Role.PRECISION)}
        return {
            self.parameter_of(group, name)[0]: Parameter(Role.PRECISION, number)
            for number, group in enumerate(self.population.layout.groups)
            for name in group.shapes
        }

    def start(self, keys: np.ndarray) -> Parameters:
        """Starting hyperparameters, in float64; in `start_range` uniform in log A, by the members' keys (M, 2)."""
        if not self.learned:
            return {}
        fields = self._fields()
        limits = self.family.options.start_range
        if limits is None:
            value = math.log(self.start_precision)
            return {
                field.name: torch.full((len(field.slots), *field.shape), value, dtype=torch.float64) for field in fields
            }
        low, high = (math.log(precision) for precision in limits)
        normals = draw_once(NoiseLayout(tuple(fields)), keys, "start_precision")
        return {name: low + (high - low) * torch.special.ndtr(normal) for name, normal in normals.items()}

    def _fields(self) -> list[NoiseField]:
        """Name, owners and shape of every parameter."""
        if self.grouping == "shared":
            return [NoiseField("log_precision", np.arange(self.population.size), ())]
        owned = zip(self.population.layout.groups, self.population.groups, strict=True)
        if self.grouping == "per_function":
            return [NoiseField(f"log_precision/{group.name}", index.slots, ()) for group, index in owned]
        return [
            NoiseField(f"log_precision/{group.name}/{name}", index.slots, shape)
            for group, index in owned
            for name, shape in group.shapes.items()
        ]

    def parameter_of(self, group: WeightGroup, weight: str) -> tuple[str, bool]:
        """The name of the parameter that holds log A of a weight tensor, and whether its first axis runs over the slots
        of the group rather than over members.
        """
        if self.grouping == "shared":
            return "log_precision", False
        if self.grouping == "per_function":
            return f"log_precision/{group.name}", True
        return f"log_precision/{group.name}/{weight}", True

    def log_precision(self, parameters: Parameters, like: Tensor, groups: Sequence[GroupTensors]) -> GroupValues:
        """log A of every weight, (C, 1) or (C, size) a group; `like` gives dtype and device."""
        values = []
        for group, index, tensors in zip(self.population.layout.groups, self.population.groups, groups, strict=True):
            if not self.learned:
                values.append(like.new_full((len(index.slots), 1), math.log(self.start_precision)))
            elif self.grouping == "shared":
                values.append(to_slots(parameters["log_precision"], tensors).unsqueeze(1))
            elif self.grouping == "per_function":
                values.append(parameters[f"log_precision/{group.name}"].unsqueeze(1))
            else:
                held = {name: parameters[f"log_precision/{group.name}/{name}"] for name in group.shapes}
                values.append(group.join(held))
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
