"""Where the nodes and edges of a graph are drawn: in layers from left to right, with few crossings.

Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", IEEE Transactions on
Systems, Man and Cybernetics 11 (1981): a node's layer is the longest path to it, an edge over several layers passes a
place of its own in each, and every layer is ordered by the mean position of its neighbours, to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 12
"""Times that every layer is ordered by its neighbours."""

Edge = tuple[str, str]
Place = tuple[float, float]
Item = str | tuple[str, str, int]
"""What has a place in a layer: a node, or an edge on its way through it."""


@dataclass(frozen=True)
class GraphLayout:
    """Places (layer, row) of every node, and of every edge those it runs through, ends included."""

    nodes: Mapping[str, Place]
    edges: Mapping[Edge, tuple[Place, ...]]


def layered_layout(nodes: Sequence[str], edges: Sequence[Edge]) -> GraphLayout:
    """The layout of an acyclic graph whose nodes are given in topological order. Rows of a layer are centred at 0."""
    layer_of = longest_paths(nodes, edges)
    layers: list[list[Item]] = [[] for _ in range(max(layer_of.values(), default=0) + 1)]
    for node in nodes:
        layers[layer_of[node]].append(node)
    chains: dict[Edge, list[Item]] = {}
    for source, target in edges:
        between: list[Item] = [(source, target, layer) for layer in range(layer_of[source] + 1, layer_of[target])]
        chains[source, target] = [source, *between, target]
        for layer, item in enumerate(between, start=layer_of[source] + 1):
            layers[layer].append(item)
    segments = [pair for chain in chains.values() for pair in pairwise(chain)]
    layers = with_few_crossings(layers, segments)
    places: dict[Item, Place] = {
        item: (float(number), row - (len(layer) - 1) / 2)
        for number, layer in enumerate(layers)
        for row, item in enumerate(layer)
    }
    return GraphLayout(
        {node: places[node] for node in nodes},
        {edge: tuple(places[item] for item in chain) for edge, chain in chains.items()},
    )


def longest_paths(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The number of edges of the longest path that ends in each node.

    >>> longest_paths(["x", "h", "y"], [("x", "h"), ("h", "y"), ("x", "y")])
    {'x': 0, 'h': 1, 'y': 2}
    """
    longest = dict.fromkeys(nodes, 0)
    for node in nodes:
        for source, target in edges:
            if source == node:
                longest[target] = max(longest[target], longest[node] + 1)
    return longest


def with_few_crossings(layers: list[list[Item]], segments: Sequence[tuple[Item, Item]]) -> list[list[Item]]:
    """The layers in the order with the fewest crossings that sweeps forwards and backwards come by."""
    before: dict[Item, list[Item]] = {}
    after: dict[Item, list[Item]] = {}
    for left, right in segments:
        after.setdefault(left, []).append(right)
        before.setdefault(right, []).append(left)
    best, fewest = layers, crossings(layers, segments)
    for sweep in range(SWEEPS):
        forwards = sweep % 2 == 0
        neighbours = before if forwards else after
        ordered = list(layers)
        for number in range(1, len(layers)) if forwards else range(len(layers) - 2, -1, -1):
            beside = ordered[number - 1 if forwards else number + 1]
            ordered[number] = by_mean_position(ordered[number], beside, neighbours)
        layers = ordered
        count = crossings(layers, segments)
        if count < fewest:
            best, fewest = layers, count
    return best


def by_mean_position(
    layer: Sequence[Item], beside: Sequence[Item], neighbours: Mapping[Item, Sequence[Item]]
) -> list[Item]:
    """The layer ordered by the mean position of its items' neighbours in the layer beside it; ties keep their order."""
    shift = (len(layer) - len(beside)) / 2
    position = {item: number + shift for number, item in enumerate(beside)}
    means = {}
    for number, item in enumerate(layer):
        found = [position[other] for other in neighbours.get(item, ())]
        means[item] = sum(found) / len(found) if found else float(number)
    return sorted(layer, key=lambda item: means[item])


def crossings(layers: Sequence[Sequence[Item]], segments: Sequence[tuple[Item, Item]]) -> int:
    """How many pairs of segments cross: those between the same layers in opposite order at their ends.

    >>> crossings([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")])
    1
    """
    place = {item: (number, row) for number, layer in enumerate(layers) for row, item in enumerate(layer)}
    ends = [(place[left], place[right][1]) for left, right in segments]
    return sum(
        (left[1] - other[1]) * (right - beyond) < 0
        for index, (left, right) in enumerate(ends)
        for other, beyond in ends[:index]
        if left[0] == other[0]
    )
