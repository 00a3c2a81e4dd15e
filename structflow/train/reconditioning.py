"""Coordinates that follow h: a linear model is whitened anew where its precisions have moved far.

In the coordinates of the start the curvature of −L is 1 at the precisions of the start. A precision that rises by a
factor can raise it by that factor, and gradient steps at a rate that suited the start then diverge. It is for them
alone: other optimisers size their steps by themselves, and what they keep would be of other coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .conditioning import coordinates_for
from .open_stage import OpenStage

FAR = 1.0
"""Change of a log precision beyond which a member gets new coordinates."""

LEAST_STEPS = 20
"""Steps of θ between two looks at how far h has moved."""


@dataclass
class Reconditioning:
    """`whitened_at` (P,) holds h of the last whitening; `looked_at` is the step after which h was looked at."""

    stage: OpenStage
    whitened_at: Tensor
    looked_at: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What changes on the way, by names of its own: for checkpoints."""
        whitening = self.stage.objectives.coordinates.whitening
        return {
            "whitened_at": self.whitened_at,
            "looked_at": self.looked_at,
            **{f"whitening/{name}": value for name, value in whitening.items()},
            **{f"inner_whitening/{name}": self.stage.inputs.constants.whitening[name] for name in whitening},
        }

    def after(self, step: int, state: Tensor, others: Tensor) -> None:
        """After a step of h that followed step `step` of θ: give members whose h is far new coordinates, in place.

        The parameters, and those of the `others` (…, P), are those of before in other coordinates; the velocity stays
        as it is. Whether a member is whitened anew depends on its own h alone.
        """
        coordinates = self.stage.objectives.coordinates
        if not coordinates.whitening or step + 1 - int(self.looked_at) < LEAST_STEPS:
            return
        self.looked_at.fill_(step + 1)
        bound, inputs, entries = self.stage.objectives.bound, self.stage.inputs, self.stage.entries
        far = entries.of_h & ((state - self.whitened_at).abs() > FAR)
        counts = torch.zeros(bound.population.size, device=state.device)
        members = counts.index_add(0, entries.member_of, far.to(counts.dtype)) > 0
        if not bool(members.any()):
            return
        points = [state, *others]
        plain = [self.stage.parameters(point) for point in points]
        fresh = coordinates_for(bound, plain[0], inputs.setup.level(step), members).whitening
        slots = {factor.name: factor.slots for factor in bound.weights.factors}
        for name, matrix in coordinates.whitening.items():
            owners = torch.from_numpy(slots[name]).to(state.device) if name in slots else None
            chosen = members if owners is None else members.index_select(0, owners)
            matrix.copy_(torch.where(chosen[:, None, None], fresh[name], matrix))
            inputs.constants.whitening[name].copy_(matrix)
        own = members.index_select(0, entries.member_of)
        for point, values in zip(points, plain, strict=True):
            moved = self.stage.layout.pack(coordinates.whitened(values)).to(state.dtype)
            point.copy_(torch.where(own, moved, point))
        self.whitened_at.copy_(torch.where(own, state, self.whitened_at))


def reconditioning(stage: OpenStage) -> Reconditioning:
    """The coordinates of a stage that begins."""
    return Reconditioning(stage, stage.start.clone(), torch.zeros((), dtype=torch.int64))  # on the CPU: read
