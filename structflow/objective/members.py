"""Between the parameters of a population, laid out in slots, and those of each member by itself.

A member's own parameters have the names that they have in a population, and neither a member axis nor a slot axis; of
weight groups it doesn't use it has none. So they mean the same whoever it is trained, judged or stored beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .bound import Bound
from .parameters import Parameters

Own = Mapping[str, Tensor]
"""The parameters of one member."""


def unstack(parameters: Parameters, bound: Bound) -> list[dict[str, Tensor]]:
    """The parameters of every member of a bound's population."""
    owners, groups = bound.owners(), bound.population.groups
    members: list[dict[str, Tensor]] = [{} for _ in bound.population.members]
    for name, value in parameters.items():
        owner = owners.get(name)
        if owner is None:
            for own, row in zip(members, value.unbind(0), strict=True):
                own[name] = row
            continue
        for own, position in zip(members, groups[owner].positions.tolist(), strict=True):
            if position < len(value):
                own[name] = value[position]
    return members


def stack(members: Sequence[Own], bound: Bound, fresh: Parameters | None = None) -> Parameters:
    """The parameters of a bound's population, whose members have these.

    With `fresh` they are its parameters, and it also fills what a member lacks or has in another shape. Slots that no
    member uses have the values of `fresh`, or repeat those of some member: nothing depends on them.
    """
    owners, groups = bound.owners(), bound.population.groups
    parameters = {}
    for name in dict.fromkeys(name for own in members for name in own) if fresh is None else fresh:
        owner = owners.get(name)
        count = len(members) if owner is None else len(groups[owner].slots)
        positions = range(count) if owner is None else groups[owner].positions.tolist()
        given = {
            slot: own[name]
            for slot, own in zip(positions, members, strict=True)
            if slot < count and name in own and (fresh is None or own[name].shape == fresh[name].shape[1:])
        }
        filler = [next(iter(given.values()))] * count if fresh is None else fresh[name]
        parameters[name] = torch.stack([given.get(slot, filler[slot]) for slot in range(count)])
    return parameters
