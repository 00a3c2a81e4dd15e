"""Checks that every basis function fits the shapes of its edge, and that shared weights have one shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import PluginError, Problem, ShapeMismatch
from ..plugins import Shape
from ..plugins.calling import Calling, broken_contract, checked_shape
from .graph import GraphEdge, GraphFunction

Shapes = Mapping[str, tuple[Shape, ...]]
"""The shapes each node can have; nodes whose shape isn't known are missing."""

WeightTable = dict[tuple[Shape, Shape], dict[str, Shape]]
"""The weights of one function for every shape of its source and target."""


def shape_problems(edges: tuple[GraphEdge, ...], shapes: Shapes) -> list[Problem]:
    """Everything wrong with shapes, on the edges whose ends are known."""
    problems: list[Problem] = []
    groups: dict[str, list[tuple[str, GraphEdge, GraphFunction, WeightTable]]] = {}
    for place, edge, function in functions_of(edges):
        if edge.source not in shapes or edge.target not in shapes:
            continue
        table, unfit = weight_table(place, edge, function, shapes)
        problems += unfit
        if function.share is not None and not unfit:
            groups.setdefault(function.share, []).append((place, edge, function, table))
    for members in groups.values():
        first_place, first_edge, first_function, first_table = members[0]
        for place, edge, function, table in members[1:]:
            difference = weights_differ(first_edge, first_table, edge, table)
            if difference is not None:
                message = (
                    f"share {function.share!r} ties {function.name} on {edge.key} to {first_function.name} on "
                    f"{first_edge.key} ({first_place}), but their weights differ: {difference}"
                )
                problems.append(Problem(f"{place}.share", message, "share between equal shapes only"))
    return problems


def functions_of(edges: tuple[GraphEdge, ...]) -> Iterator[tuple[str, GraphEdge, GraphFunction]]:
    """Every function with its path in the spec and its edge."""
    for edge_index, edge in enumerate(edges):
        for index, function in enumerate(edge.functions):
            yield f"model.edges[{edge_index}].basis[{index}]", edge, function


def weight_table(
    place: str, edge: GraphEdge, function: GraphFunction, shapes: Shapes
) -> tuple[WeightTable, list[Problem]]:
    """The weights of one function, or the problem of the first shapes that it doesn't fit."""
    table: WeightTable = {}
    for source, target in itertools.product(shapes[edge.source], shapes[edge.target]):
        try:
            table[source, target] = checked_weights(function, source, target)
        except ShapeMismatch as error:
            ends = f"from {edge.source} {list(source)} to {edge.target} {list(target)}"
            remedy = "change the shape of the nodes, or choose another basis function"
            return {}, [Problem(place, f"{function.name} doesn't fit {ends}: {error}", remedy)]
        except PluginError as error:
            message = f"{function.name} failed on shapes {list(source)} to {list(target)}: {error}"
            remedy = f"this is a fault of plugin {function.plugin.type}; choose another one until it is fixed"
            return {}, [Problem(place, message, remedy)]
    return table, []


def checked_weights(function: GraphFunction, source: Shape, target: Shape) -> dict[str, Shape]:
    """The weights of one function between two shapes; raises `ShapeMismatch`, or `PluginError` for anything else."""
    plugin, method = function.plugin, "weight_shapes"
    with Calling(plugin, method):
        weights: Any = plugin.weight_shapes(function.options, source, target)
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise broken_contract(plugin, method, f"{weights!r}", "a dictionary of shapes by the names of weights")
    return {name: checked_shape(plugin, method, shape, f" for {name!r}") for name, shape in weights.items()}


def weights_differ(first_edge: GraphEdge, first: WeightTable, edge: GraphEdge, second: WeightTable) -> str | None:
    """How the weights of two functions differ under some assignment of shapes to their nodes; None if never.

    Nodes at both edges have the same shape on either side; the others vary freely. So for each assignment of the
    common nodes all entries of both tables must be equal.
    """
    ends, other_ends = (first_edge.source, first_edge.target), (edge.source, edge.target)
    common = [node for node in dict.fromkeys(ends) if node in other_ends]
    seen: dict[tuple[Shape, ...], dict[str, Shape]] = {}
    for nodes, table in ((ends, first), (other_ends, second)):
        for pair, weights in table.items():
            assignment = tuple(pair[nodes.index(node)] for node in common)
            expected = seen.setdefault(assignment, weights)
            if weights != expected:
                return f"{shown(expected)} and {shown(weights)}"
    return None


def shown(weights: Mapping[str, Shape]) -> str:
    """Weights as a message shows them."""
    return ", ".join(f"{name} {list(shape)}" for name, shape in weights.items()) or "none"
