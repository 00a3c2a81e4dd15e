"""What is known of the model of a structure before it is trained."""

from __future__ import annotations

import math
from enum import IntEnum

from ..plugins import ModelFacts, TargetKind
from .graph import INPUT, OUTPUT, Graph, GraphFunction
from .structure import Structure


class Dependence(IntEnum):
    """How a value depends on the weights; of a sum it is that of the last one of its terms."""

    NONE = 0
    LINEAR = 1
    UNKNOWN = 2
    NONLINEAR = 3


IS_LINEAR = {Dependence.NONE: True, Dependence.LINEAR: True, Dependence.UNKNOWN: None, Dependence.NONLINEAR: False}


def model_facts(graph: Graph, structure: Structure, target: TargetKind) -> ModelFacts:
    """Whether a structure's output is linear in its weights, and their number; weights that are shared count once."""
    shapes = graph.node_shapes(dict(structure.shapes))
    names = dict(structure.edges)
    groups: dict[object, int] = {}
    nodes = {INPUT: Dependence.NONE}
    for node in graph.nodes[1:]:
        nodes[node] = Dependence.NONE
        for _, edge in graph.edges_into(node):
            for function in edge.functions:
                if function.name in names[edge.key]:
                    found = function.plugin.weight_shapes(function.options, shapes[edge.source], shapes[node])
                    size = sum(map(math.prod, found.values()))
                    groups[function.share or (edge.key, function.name)] = size
                    nodes[node] = max(nodes[node], dependence(function, size > 0, nodes[edge.source]))
    return ModelFacts(target, IS_LINEAR[nodes[OUTPUT]], sum(groups.values()))


def dependence(function: GraphFunction, has_weights: bool, source: Dependence) -> Dependence:
    """How the value of a function depends on all weights, given how its input does."""
    if has_weights:
        linear = function.plugin.linear_in_weights and source == Dependence.NONE
        return Dependence.LINEAR if linear else Dependence.NONLINEAR
    return (
        Dependence.UNKNOWN if source == Dependence.LINEAR else source
    )  # no plugin says that it is linear in its input
