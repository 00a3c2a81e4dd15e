"""Single weights that are held at zero, and what the bound is without them.

Which weights are kept is data with a member axis, 1 or 0 in `kept/<group>/<weight>` (C, *shape) beside the parameters,
so that members with other weights removed share a program. A removed weight is drawn as 0. Under the bound its q is
set to the standard normal and so is its prior, so that its divergence is 0, and nothing has a gradient by it. Of a
point, whose divergence is −log p(w), the prior's density at 0 is set to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions.normal import HALF_LOG_TWO_PI
from ..model.layout import WeightGroup
from .weights_posterior import Draw, GroupValues, Parameters, PointPosterior, WeightsPosterior

KEPT = "kept"
"""First part of the names of masks."""


@dataclass(frozen=True)
class KeptWeights:
    """1 for a weight that is kept, 0 for one that was removed: `values` (C, *shape) for each weight of every group."""

    groups: Sequence[WeightGroup]
    values: Sequence[Mapping[str, Tensor]]
    log_precision_of_removed: float = 0.0

    @classmethod
    def of(cls, parameters: Parameters, posterior: WeightsPosterior) -> KeptWeights | None:
        """The masks among the parameters, constants of every derivative; None where nothing can be removed."""
        groups = posterior.groups
        names = [[mask_name(group, weight) for weight in group.shapes] for group in groups]
        if not any(name in parameters for row in names for name in row):
            return None
        return cls(
            groups,
            [{weight: parameters[mask_name(group, weight)].detach() for weight in group.shapes} for group in groups],
            2 * HALF_LOG_TWO_PI if isinstance(posterior, PointPosterior) else 0.0,
        )

    def posterior(self, parameters: Parameters) -> Parameters:
        """The parameters with mean 0 and variance 1, and no correlation, where a weight was removed."""
        changed = dict(parameters)
        if "cholesky" in parameters:
            flat = self.flat
            changed["mean"] = parameters["mean"] * flat
            changed["cholesky"] = parameters["cholesky"] * flat.unsqueeze(-1) * flat.unsqueeze(-2)
            return changed
        for group, values in zip(self.groups, self.values, strict=True):
            for weight, kept in values.items():
                for kind in ("mean", "log_sd"):
                    name = f"{kind}/{group.name}/{weight}"
                    if name in parameters:
                        changed[name] = parameters[name] * kept
        return changed

    def precision(self, log_precision: GroupValues) -> GroupValues:
        """log A, where a weight was removed that of a prior under which it adds nothing."""
        other = self.log_precision_of_removed
        return [
            {weight: row[weight] * kept + other * (1 - kept) for weight, kept in values.items()}
            for row, values in zip(log_precision, self.values, strict=True)
        ]

    def draw(self, draw: Draw) -> Draw:
        """Draws, means and variances with the removed weights at 0."""
        weights = [
            {weight: row[weight] * kept.unsqueeze(1) for weight, kept in values.items()}
            for row, values in zip(draw.weights, self.values, strict=True)
        ]
        variances = [
            None if row is None else {weight: row[weight] * kept.unsqueeze(1) for weight, kept in values.items()}
            for row, values in zip(draw.variances, self.values, strict=True)
        ]
        noise = None if draw.noise is None else draw.noise * self.flat.unsqueeze(1)
        return Draw(weights, variances, noise)

    @property
    def flat(self) -> Tensor:
        """The masks of all weights end to end, (M, n), where all members use all groups."""
        return torch.cat([kept.flatten(1) for values in self.values for kept in values.values()], dim=1)


def mask_name(group: WeightGroup, weight: str) -> str:
    """The name of the mask of one weight tensor."""
    return f"{KEPT}/{group.name}/{weight}"
