"""Nodes whose values depend on the data alone: the input, and what functions without weights make of it."""

from __future__ import annotations

from torch import Tensor

from ..model.layout import Layout
from ..spec.graph import INPUT


def fixed_nodes(layout: Layout) -> set[str]:
    """The input, and every node whose edges all come from such nodes, have no choice and no weights."""
    found = {INPUT}
    for node in layout.graph.nodes[1:]:
        edges = list(layout.graph.edges_into(node))
        has_weights = any(block.group is not None for index, _ in edges for block in layout.blocks[index])
        if not has_weights and all(edge.source in found and edge.space == "all" for _, edge in edges):
            found.add(node)
    return found


def fixed_values(layout: Layout, node: str, x: Tensor) -> Tensor:
    """f_j(x) of a node of `fixed_nodes`, (rows, *shape), for x (rows, *input_shape)."""
    if node == INPUT:
        return x.reshape(len(x), *layout.node_shapes[INPUT])
    total = x.new_zeros((len(x), *layout.node_shapes[node]))
    for index, edge in layout.graph.edges_into(node):
        source = fixed_values(layout, edge.source, x)
        for block in layout.blocks[index]:
            total = total + block.function.forward({}, source)
    return total
