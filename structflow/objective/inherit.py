"""Starting a member from the trained parameters of another, as far as the two have parameters in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.population import Population
from .bound import Bound
from .parameters import Parameters, Role
from .weights_posterior import minus_log_density

LEAST_INFORMATION = 1.0
"""−Σ ln ρ of a weight group below which its weights are not inherited, in nats."""


@dataclass(frozen=True)
class Trained:
    """A population that was trained: its bound and its parameters, float64 on the CPU."""

    bound: Bound
    parameters: Parameters


def inherit(fresh: Parameters, bound: Bound, parent: Trained, pairs: Mapping[int, int]) -> Parameters:
    """`fresh` with values of the parent population; `pairs` gives for members of `bound` the number of their parent.

    Inherited are weight groups of the same name and shapes with their precisions (one precision of a function also
    where its shapes changed), the shared precision, parameters of the likelihood, temperatures, and the log
    concentrations of the functions that are open in both (with mean 0 on edges of `one`, whose prior and posterior
    don't change when all s are multiplied). A joint posterior is inherited only where all groups are the same.
    Everything else keeps its fresh value, and so do weights that the data said nothing of (see `informed`): q at the
    prior is a poor start, from which a part that becomes connected only adds noise and is shrunk away.
    """
    children, parents = bound.population, parent.bound.population
    same = [(group.name, dict(group.shapes)) for group in children.layout.groups] == [
        (group.name, dict(group.shapes)) for group in parents.layout.groups
    ]
    known = informed(parent)
    started = dict(fresh)
    for name, value in fresh.items():
        own, origin = bound.parameters[name], parent.bound.parameters.get(name)
        earlier = parent.parameters.get(name)
        if earlier is None or origin is None:
            continue
        if own.edge is not None:
            started[name] = with_concentrations(value, earlier, children, parents, own.edge, pairs)
            continue
        rows = dict(pairs)
        if own.group is not None and origin.group is not None:
            alike = dict(children.layout.groups[own.group].shapes) == dict(parents.layout.groups[origin.group].shapes)
            if not alike and not (own.role is Role.PRECISION and bound.prior.grouping == "per_function"):
                continue
            rows = slot_pairs(children, own.group, parents, origin.group, pairs)
            if own.role is Role.WEIGHTS:
                rows = {slot: earlier_slot for slot, earlier_slot in rows.items() if known[origin.group][earlier_slot]}
        elif own.role is Role.WEIGHTS and not same:  # parameters of all weights together, which aren't the same weights
            continue
        if rows and earlier.shape[1:] == value.shape[1:]:
            started[name] = value.index_copy(0, numbers(rows.keys()), earlier.index_select(0, numbers(rows.values())))
    return started


def informed(parent: Trained) -> list[list[bool]]:
    """For every weight group and slot whether the data informed its weights: Σ μ² / (2α) ≥ 1; of a point 1/A for α.

    That is −Σ ln ρ, ρ = q(w = 0) / q(w = μ), and 0 where q is the prior.
    """
    weights = parent.bound.weights
    if weights.family.plugin.joint:
        return [[True] * len(index.slots) for index in parent.bound.population.groups]
    means, variances = weights.moments(parent.parameters)
    like = next(iter(parent.parameters.values())).new_zeros(()) if parent.parameters else torch.zeros(())
    groups = parent.bound.population.indices.groups
    precisions = parent.bound.prior.log_precision(parent.parameters, like, groups)
    found = []
    for mean, variance, log_precision in zip(means, variances, precisions, strict=True):
        spread = torch.where(variance > 0, variance, (-log_precision).exp())
        found.append((minus_log_density(mean, spread) >= LEAST_INFORMATION).tolist())
    return found


def slot_pairs(
    children: Population, owner: int, parents: Population, parent_owner: int, pairs: Mapping[int, int]
) -> dict[int, int]:
    """For the slots of members whose parents use the group too, the slots of the parents."""
    index, earlier = children.groups[owner], parents.groups[parent_owner]
    found = {}
    for member, origin in pairs.items():
        slot, parent_slot = int(index.positions[member]), int(earlier.positions[origin])
        if slot < len(index.slots) and parent_slot < len(earlier.slots):
            found[slot] = parent_slot
    return found


def with_concentrations(
    fresh: Tensor, earlier: Tensor, children: Population, parents: Population, edge: int, pairs: Mapping[int, int]
) -> Tensor:
    """log s (M, K) of one edge with the parents' values for the functions open in both."""
    names = [block.name for block in children.layout.blocks[edge]]
    parent_names = [block.name for block in parents.layout.blocks[edge]]
    common = [name for name in names if name in parent_names]
    if not common or not pairs:
        return fresh
    values = earlier[numbers(pairs.values())][:, numbers(parent_names.index(name) for name in common)]
    if children.layout.graph.edges[edge].space == "one":
        values = values - values.mean(1, keepdim=True)
    changed = fresh.clone()
    changed[numbers(pairs.keys()).unsqueeze(1), numbers(names.index(name) for name in common)] = values
    return changed


def numbers(values: Iterable[int]) -> Tensor:
    """Positions as an index."""
    return torch.tensor(list(values), dtype=torch.int64)
