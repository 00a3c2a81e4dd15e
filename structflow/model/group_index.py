"""Between members and the slots of a weight group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .routing import only_live

GroupTensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class GroupIndex:
    """The members whose weights a group holds.

    `slots` (C,) is the member of every slot, `positions` (M,) the slot of every member, or C for a member that
    doesn't use the group. `everyone` says that both are 0, 1, …, M − 1, so that nothing needs to be gathered.
    """

    slots: np.ndarray
    positions: np.ndarray

    @property
    def everyone(self) -> bool:
        """Whether every member has exactly the slot of its own number."""
        members = np.arange(len(self.positions))
        return len(self.slots) == len(members) and bool((self.positions == members).all())

    @property
    def tensors(self) -> GroupTensors:
        """Slots, positions and which slots are used, inputs of the compiled program; nothing where `everyone`."""
        if self.everyone:
            return ()
        used = np.isin(np.arange(len(self.slots)), self.positions)
        return torch.from_numpy(self.slots), torch.from_numpy(self.positions), torch.from_numpy(used)

    @property
    def signature(self) -> tuple[object, ...]:
        """What the compiled program depends on."""
        return (self.everyone, len(self.slots))


def to_slots(value: Tensor, tensors: GroupTensors) -> Tensor:
    """A value for each member (M, …) → for each slot (C, …), zero where the slot isn't used."""
    return only_live(value.index_select(0, tensors[0]), tensors[2]) if tensors else value


def to_members(value: Tensor, tensors: GroupTensors) -> Tensor:
    """A value for each slot (C, …) → for each member (M, …), zero where a member doesn't use the group."""
    if not tensors:
        return value
    return torch.cat([value, torch.zeros_like(value[:1])]).index_select(0, tensors[1])
