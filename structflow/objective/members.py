"""Between the parameters of a population, laid out in slots, and those of each member by itself.

A member's own parameters go by the labels that they have in a population, and have neither a member axis nor a slot
axis; of weight groups it doesn't use it has none. So they mean the same whoever it is trained, judged or stored beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .bound import Bound
from .parameters import Parameters

Own = Mapping[str, Tensor]
"""The parameters of one member, by label."""


def unstack(parameters: Parameters, bound: Bound) -> list[dict[str, Tensor]]:
    """The parameters of every member of a bound's population."""
    groups = bound.population.groups
    members: list[dict[str, Tensor]] = [{} for _ in bound.population.members]
    for label, value in bound.labelled(parameters).items():
        owner = bound.by_label[label].group
        if owner is None:
            for own, row in zip(members, value.unbind(0), strict=True):
                own[label] = row
            continue
        for own, position in zip(members, groups[owner].positions.tolist(), strict=True):
            if position < len(value):
                own[label] = value[position]
    return members


def stack(members: Sequence[Own], bound: Bound, fresh: Parameters | None = None) -> Parameters:
    """The parameters of a bound's population, whose members have these.

    With `fresh` they are its parameters, and it also fills what a member lacks or has in another shape. Slots that no
    member uses have the values of `fresh`, or repeat those of some member: nothing depends on them.
    """
    groups, started = bound.population.groups, {} if fresh is None else bound.labelled(fresh)
    parameters = {}
    for label in started or dict.fromkeys(label for own in members for label in own):
        owner = bound.by_label[label].group
        count = len(members) if owner is None else len(groups[owner].slots)
        positions = range(count) if owner is None else groups[owner].positions.tolist()
        given = {
            slot: own[label]
            for slot, own in zip(positions, members, strict=True)
            if slot < count and label in own and (not started or own[label].shape == started[label].shape[1:])
        }
        filler = started[label] if started else [next(iter(given.values()))] * count
        parameters[label] = torch.stack([given.get(slot, filler[slot]) for slot in range(count)])
    return bound.of_labels(parameters)
