"""Starting a member from the trained parameters of another, as far as the two have parameters in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.group_index import to_members
from ..model.layout import Layout
from .bound import Bound
from .members import stack, unstack
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
    own, earlier, known = unstack(fresh, bound), unstack(parent.parameters, parent.bound), informed(parent)
    layout, origin = bound.population.layout, parent.bound.population.layout
    shapes, shapes_before = ([(each.name, dict(each.shapes)) for each in one.groups] for one in (layout, origin))
    of_children, of_parents = bound.by_label, parent.bound.by_label
    for child, number in pairs.items():
        for name in own[child].keys() & earlier[number].keys():
            of_child, of_parent = of_children[name], of_parents[name]
            value, before = own[child][name], earlier[number][name]
            if of_child.edge is not None:
                own[child][name] = with_concentrations(value, before, layout, origin, of_child.edge)
                continue
            if of_child.group is not None and of_parent.group is not None:
                may_differ = of_child.role is Role.PRECISION and bound.prior.options.grouping == "per_function"
                fits = may_differ or shapes[of_child.group] == shapes_before[of_parent.group]
                fits = fits and (of_child.role is not Role.WEIGHTS or bool(known[of_parent.group][number]))
            else:  # parameters of all weights together are those of the same weights, or aren't inherited
                fits = of_child.role is not Role.WEIGHTS or shapes == shapes_before
            if fits and before.shape == value.shape:
                own[child][name] = before
    return stack(own, bound, fresh)


def informed(parent: Trained) -> list[Tensor]:
    """For every weight group and member whether the data informed its weights: Σ μ² / (2α) ≥ 1; of a point 1/A for α.

    That is −Σ ln ρ, ρ = q(w = 0) / q(w = μ), and 0 where q is the prior.
    """
    weights, population = parent.bound.weights, parent.bound.population
    if weights.family.plugin.joint:
        return [torch.ones(population.size)] * len(population.groups)
    means, variances = weights.moments(parent.parameters)
    like = torch.zeros((), dtype=torch.float64)
    groups = population.indices.groups
    precisions = parent.bound.prior.log_precision(parent.parameters, like, groups)
    found = []
    for mean, variance, log_precision, tensors in zip(means, variances, precisions, groups, strict=True):
        spread = torch.where(variance > 0, variance, (-log_precision).exp())
        found.append(to_members((minus_log_density(mean, spread) >= LEAST_INFORMATION).to(mean), tensors))
    return found


def with_concentrations(fresh: Tensor, earlier: Tensor, layout: Layout, origin: Layout, edge: int) -> Tensor:
    """log s (K,) of one edge with the parent's values for the functions open in both."""
    names, parent_names = ([block.name for block in each.blocks[edge]] for each in (layout, origin))
    common = [name for name in names if name in parent_names]
    if not common:
        return fresh
    values = earlier[[parent_names.index(name) for name in common]]
    changed = fresh.clone()
    changed[[names.index(name) for name in common]] = values - values.mean() * (layout.graph.edges[edge].space == "one")
    return changed
