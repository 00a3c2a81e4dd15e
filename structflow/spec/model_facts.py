"""What is known of the model of a structure before it is trained."""

from __future__ import annotations

import math

from ..plugins import ModelFacts, TargetKind
from .graph import INPUT, OUTPUT, Graph, GraphEdge, GraphFunction
from .structure import Structure


def model_facts(graph: Graph, structure: Structure, target: TargetKind) -> ModelFacts:
    """Whether a structure's output is linear in its weights, and their number; weights that are shared count once.

    It is linear if every function with weights is, and maps what has none to the output node.
    """
    shapes = graph.node_shapes(dict(structure.shapes))
    chosen: dict[str, list[tuple[GraphFunction, int]]] = {}
    groups: dict[object, int] = {}
    names = dict(structure.edges)
    for edge in graph.edges:
        chosen[edge.key] = []
        for function in edge.functions:
            if function.name in names[edge.key]:
                found = function.plugin.weight_shapes(function.options, shapes[edge.source], shapes[edge.target])
                size = sum(map(math.prod, found.values()))
                chosen[edge.key].append((function, size))
                groups[function.share or (edge.key, function.name)] = size
    fixed = {INPUT}
    for node in graph.nodes[1:]:
        into = [edge for _, edge in graph.edges_into(node)]
        if all(edge.source in fixed and not any(size for _, size in chosen[edge.key]) for edge in into):
            fixed.add(node)

    def is_linear(edge: GraphEdge, function: GraphFunction) -> bool:
        return function.plugin.linear_in_weights and edge.target == OUTPUT and edge.source in fixed

    linear = all(is_linear(edge, function) for edge in graph.edges for function, size in chosen[edge.key] if size)
    return ModelFacts(target, linear, sum(groups.values()))
