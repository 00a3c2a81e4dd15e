"""Which member each number of a flat vector belongs to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..objective.bound import Bound
from .flat import FlatLayout


def members_of(bound: Bound, layout: FlatLayout) -> Tensor:
    """The member that each number of the flat vector belongs to, (P,)."""
    owners, parts = bound.owners(), []
    for name, shape in layout.shapes:
        owner = owners.get(name)
        members = np.arange(bound.population.size) if owner is None else bound.population.groups[owner].slots
        parts.append(np.broadcast_to(members.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1))
    return torch.from_numpy(np.concatenate([np.zeros(0), *parts]).astype(np.int64))
