"""The parameters of some members of a population, as parameters of a population of those members."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..model.population import Population
from .bound import Bound
from .parameters import Parameters


def subset_parameters(parameters: Parameters, bound: Bound, smaller: Population, members: Sequence[int]) -> Parameters:
    """Pick the values of `members` (numbers in `bound`'s population), for a population of just these.

    Slots of `smaller` that repeat a member get that member's values; groups that none of the members uses are left
    out.
    """
    owners = bound.owners()
    new_groups = {group.name: index for group, index in zip(smaller.layout.groups, smaller.groups, strict=True)}
    chosen = torch.as_tensor(list(members), dtype=torch.int64)
    picked: Parameters = {}
    for name, value in parameters.items():
        owner = owners.get(name)
        if owner is None:
            picked[name] = value.index_select(0, chosen)
            continue
        group = bound.population.layout.groups[owner]
        if group.name not in new_groups:
            continue
        old, new = bound.population.groups[owner], new_groups[group.name]
        positions = old.positions[[members[slot] for slot in new.slots]]
        positions[positions == len(old.slots)] = 0  # a shared group's slot of a member that doesn't use it
        picked[name] = value.index_select(0, torch.from_numpy(positions))
    return picked
