"""Names of the single weights of a member, in the order of its vector."""

from __future__ import annotations

import numpy as np

from ..model.population import Population


def weight_names(population: Population, member: int) -> list[str]:
    """`<edge>/<function>.<weight>[i,j]` of every weight that a member has, as `PopulationWeights` numbers them."""
    names = []
    for group, index in zip(population.layout.groups, population.groups, strict=True):
        if index.positions[member] == len(index.slots):
            continue
        for weight, shape in group.shapes.items():
            places = [",".join(map(str, place)) for place in np.ndindex(*shape)]
            names += [f"{group.name}.{weight}[{place}]" if place else f"{group.name}.{weight}" for place in places]
    return names
