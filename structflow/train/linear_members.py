"""Members that are linear in their weights: structure by structure, so that batch-mates decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import FunctionError
from ..model.layout import FunctionBlock, Layout, uses
from ..model.network import checked_value, named_function
from ..objective.bound import Bound
from ..plugins import Candidate
from ..plugins.calling import Calling
from ..spec.graph import INPUT, OUTPUT


@dataclass(frozen=True)
class LinearMembers:
    """Members of one linear structure, by number, its functions edge by edge, and the numbers of its weight groups.

    They have their rows in common: where the bound gives members rows of their own, they are of one fold.
    `size` is the number n of weights, 0 where no function has any.
    """

    numbers: tuple[int, ...]
    blocks: tuple[tuple[FunctionBlock, ...], ...]
    groups: tuple[int, ...]
    size: int


def linear_members(bound: Bound) -> list[LinearMembers]:
    """The members whose output is linear in all their weights, with features that depend on the data alone."""
    population = bound.population
    if population.is_relaxed:
        return []
    same: dict[object, list[int]] = {}
    for number, member in enumerate(population.members):
        same.setdefault((member.structure, member.fold if bound.own_rows else 0), []).append(number)
    found = []
    for numbers in same.values():
        blocks = blocks_of(population.layout, population.members[numbers[0]])
        users = [block.group for row in blocks for block in row if block.group is not None]
        groups = sorted(set(users))
        if len(groups) == len(users) and is_linear(population.layout, blocks):
            size = sum(population.layout.groups[group].size for group in groups)
            found.append(LinearMembers(tuple(numbers), blocks, tuple(groups), size))
    return found


def rows_of(bound: Bound, members: LinearMembers, values: Tensor) -> Tensor:
    """The rows of x or y that members have in common, (rows, …)."""
    return values[members.numbers[0]] if bound.own_rows else values


def blocks_of(layout: Layout, member: Candidate) -> tuple[tuple[FunctionBlock, ...], ...]:
    """The functions of a member, edge by edge."""
    used = uses(layout.graph, [member.structure])
    return tuple(
        tuple(block for block in row if table[0, block.candidate])
        for row, table in zip(layout.blocks, used, strict=True)
    )


def is_linear(layout: Layout, blocks: Sequence[Sequence[FunctionBlock]]) -> bool:
    """Whether a structure with these functions, each with weights of its own, is linear in all of them."""
    fixed = fixed_nodes(layout, blocks)
    weighed = [block for row in blocks for block in row if block.group is not None]
    edges = layout.graph.edges
    return all(
        block.function.linear_in_weights and edges[block.edge].target == OUTPUT and edges[block.edge].source in fixed
        for block in weighed
    )


def fixed_nodes(layout: Layout, blocks: Sequence[Sequence[FunctionBlock]]) -> set[str]:
    """The input, and every node that functions without weights make of such nodes."""
    found = {INPUT}
    for node in layout.graph.nodes[1:]:
        edges = layout.graph.edges_into(node)
        if all(edge.source in found and all(block.group is None for block in blocks[index]) for index, edge in edges):
            found.add(node)
    return found


def fixed_values(layout: Layout, blocks: Sequence[Sequence[FunctionBlock]], node: str, x: Tensor) -> Tensor:
    """f_j(x) of a node of `fixed_nodes`, (rows, *shape), for x (rows, *input_shape)."""
    if node == INPUT:
        return x.reshape(len(x), *layout.node_shapes[INPUT])
    total = x.new_zeros((len(x), *layout.node_shapes[node]))
    for index, edge in layout.graph.edges_into(node):
        if not blocks[index]:
            continue
        source = fixed_values(layout, blocks, edge.source, x)
        for block in blocks[index]:
            name, method = named_function(layout, block), "forward"
            with Calling(type(block.function), method, name, FunctionError):
                value = block.function.forward({}, source)
            checked_value(name, method, block.function, value, source, leading=0)
            total = total + value
    return total
