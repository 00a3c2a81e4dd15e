"""Single weights that are held at zero, and what the bound is without them.

Which weights are kept is data with a member axis, 1 or 0 in `kept` (C, size) of each group beside θ and h, so that
members with other weights removed share a program. A removed weight is drawn as 0. In the divergence its q is one that
depends on nothing, and so is its prior, so that it adds nothing, and nothing has a gradient with respect to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..model.network import Weights
from .parameters import Parameters
from .weights_posterior import Draw, Factor, GroupValues, WeightsPosterior


@dataclass(frozen=True)
class KeptWeights:
    """1 for a weight that is kept, 0 for one that was removed: `values` (C, size) of every group."""

    posterior: WeightsPosterior
    values: GroupValues

    @classmethod
    def of(cls, parameters: Parameters, posterior: WeightsPosterior) -> KeptWeights | None:
        """The masks among the parameters, constants of every derivative; None where nothing can be removed."""
        return cls(posterior, [mask.detach() for mask in parameters.kept]) if parameters.kept else None

    def masked(self, parameters: Parameters) -> Parameters:
        """The parameters with removed weights distributed alike, independent of the rest."""
        return self.posterior.masked(parameters, self.values)

    def draw(self, draw: Draw) -> Draw:
        """Draws, means, variances and columns with the removed weights at 0, for the network."""

        groups = zip(self.posterior.groups, self.values, strict=True)
        masks = [group.split(kept.unsqueeze(1)) for group, kept in groups]

        def held(rows: list[Weights | None]) -> list[Weights | None]:
            return [
                None if row is None else {name: value * mask[name] for name, value in row.items()}
                for row, mask in zip(rows, masks, strict=True)
            ]

        weights = [row for row in held([*draw.weights]) if row is not None]
        return Draw(weights, held(draw.variances), held(draw.columns), draw.vectors, draw.noise)

    def of_factor(self, factor: Factor) -> Tensor:
        """The masks of a factor, (C, size)."""
        return self.posterior.of_factor(self.values, factor)
