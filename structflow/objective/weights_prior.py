"""p(w | h): the precisions A of a population, one for each member, function or weight, under the spec's prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.group_index import GroupTensors, to_members, to_slots
from ..model.population import Population
from ..plugins import InverseGamma, WeightPriorOptions
from .guarded_weights import GuardedPrior
from .noise import NoiseField, NoiseLayout, draw_once
from .parameters import Named, Parameter, Parameters, Role
from .weights_posterior import GroupValues

WHOLE = "whole"
"""Key of a precision that all weights of its owner have in common."""


@dataclass(frozen=True)
class WeightsPrior:
    """Precisions grouped as the spec says, starting from one value or at random; hyperparameters where `learned`.

    log A of the owners: of all weights together, `WHOLE` (M,), where it is shared; of every weight group its `WHOLE`
    (C,) per function, or each of its weight tensors (C, *shape) per parameter.
    """

    population: Population
    family: GuardedPrior

    @property
    def options(self) -> WeightPriorOptions:
        """What the spec says."""
        return self.family.options

    @property
    def learned(self) -> bool:
        """Whether precisions are hyperparameters."""
        return self.options.is_learned

    @property
    def described(self) -> tuple[dict[str, Parameter], ...]:
        """What each hyperparameter of each owner is."""
        shared = self.options.grouping == "shared"
        return tuple(
            {key: Parameter(field.name, Role.PRECISION, None if shared else number) for key, field in fields.items()}
            for number, fields in enumerate(self._fields())
        )

    def start(self, keys: np.ndarray) -> tuple[Named, ...]:
        """Starting hyperparameters, in float64; in `start_range` uniform in log A, by the members' keys (M, 2)."""
        owners = self._fields()
        fields = [field for own in owners for field in own.values()]
        if self.options.start_range is None:
            value = math.log(self.options.start)
            found = {
                field.name: torch.full((len(field.slots), *field.shape), value, dtype=torch.float64) for field in fields
            }
        else:
            low, high = (math.log(precision) for precision in self.options.start_range)
            normals = draw_once(NoiseLayout(tuple(fields)), keys, "start_precision")
            found = {name: low + (high - low) * torch.special.ndtr(normal) for name, normal in normals.items()}
        return tuple({key: found[field.name] for key, field in own.items()} for own in owners)

    def _fields(self) -> tuple[dict[str, NoiseField], ...]:
        """Label, members and shape of the hyperparameters of each owner."""
        if not self.learned:
            return ()
        if self.options.grouping == "shared":
            return ({WHOLE: NoiseField("log_precision", np.arange(self.population.size), ())},)
        owned = zip(self.population.layout.groups, self.population.groups, strict=True)
        if self.options.grouping == "per_function":
            return tuple({WHOLE: NoiseField(f"log_precision/{group.name}", index.slots, ())} for group, index in owned)
        return tuple(
            {
                name: NoiseField(f"log_precision/{group.name}/{name}", index.slots, shape)
                for name, shape in group.shapes.items()
            }
            for group, index in owned
        )

    def owner_of(self, number: int, weight: str) -> tuple[int, str]:
        """The owner of log A of a weight tensor of the group of a number, and the key of log A there."""
        grouping = self.options.grouping
        return 0 if grouping == "shared" else number, weight if grouping == "per_parameter" else WHOLE

    def log_precision(self, parameters: Parameters, like: Tensor, groups: Sequence[GroupTensors]) -> GroupValues:
        """log A of every weight, (C, 1) or (C, size) a group; `like` gives dtype and device."""
        values, owners = [], parameters.hyper.log_precision
        for number, (group, index) in enumerate(
            zip(self.population.layout.groups, self.population.groups, strict=True)
        ):
            if not self.learned:
                values.append(like.new_full((len(index.slots), 1), math.log(self.options.start)))
            elif self.options.grouping == "shared":
                values.append(to_slots(owners[0][WHOLE], groups[number]).unsqueeze(1))
            elif self.options.grouping == "per_function":
                values.append(owners[number][WHOLE].unsqueeze(1))
            else:
                values.append(group.join(owners[number]))
        return values

    def log_hyperprior(self, parameters: Parameters, like: Tensor, groups: Sequence[GroupTensors]) -> Tensor:
        """log p(h), (M,): the inverse gamma density of log v = −log A, summed over the learned precisions."""
        total, owners = like.new_zeros(self.population.size), parameters.hyper.log_precision
        hyperprior = self.options.hyperprior
        if hyperprior is None or not self.learned:
            return total
        if self.options.grouping == "shared":
            return total + log_inverse_gamma(owners[0][WHOLE], hyperprior)
        for own, tensors in zip(owners, groups, strict=True):
            for value in own.values():
                density = log_inverse_gamma(value, hyperprior)
                total = total + to_members(density.reshape(len(density), -1).sum(1), tensors)
        return total


def log_inverse_gamma(log_precision: Tensor, hyperprior: InverseGamma) -> Tensor:
    """λ₁ log λ₂ − ln Γ(λ₁) + λ₁ log A − λ₂ A: the density of log v, which vanishes as λ₁, λ₂ → 0 up to a constant."""
    shape, scale = hyperprior.shape, hyperprior.scale
    constant = shape * math.log(scale) - math.lgamma(shape)
    return constant + shape * log_precision - scale * log_precision.exp()
