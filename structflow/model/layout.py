"""What a batch of members consists of: which basis functions are present, and which weights they own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..plugins import BasisFunction, Shape
from ..spec.graph import Graph
from ..spec.structures import Structure


@dataclass(frozen=True)
class FunctionBlock:
    """One basis function on one edge: `candidate` is its position among the edge's candidates in the spec."""

    edge: int
    candidate: int
    name: str
    function: BasisFunction
    group: int | None


@dataclass(frozen=True)
class WeightGroup:
    """Weights with one owner: a basis function, or several that share them. `users` are (edge, candidate)."""

    name: str
    shapes: Mapping[str, Shape]
    users: tuple[tuple[int, int], ...]

    @property
    def is_shared(self) -> bool:
        """Whether several functions use these weights."""
        return len(self.users) > 1

    @property
    def size(self) -> int:
        """Number of weights of one member."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())


@dataclass(frozen=True)
class Layout:
    """Functions present in a batch, edge by edge, and their weight groups, for one assignment of node shapes."""

    graph: Graph
    node_shapes: Mapping[str, Shape]
    blocks: tuple[tuple[FunctionBlock, ...], ...]
    groups: tuple[WeightGroup, ...]

    def block(self, edge: int, candidate: int) -> FunctionBlock:
        """The block of one candidate."""
        return next(block for block in self.blocks[edge] if block.candidate == candidate)


def uses(graph: Graph, structures: Sequence[Structure | None]) -> list[np.ndarray]:
    """For every edge who uses what: booleans (members, candidates); None is the relaxation, which uses all."""
    tables = []
    for index, edge in enumerate(graph.edges):
        names = [function.name for function in edge.functions]
        rows = [
            [True] * len(names) if structure is None else [name in structure.edges[index][1] for name in names]
            for structure in structures
        ]
        tables.append(np.array(rows, dtype=bool).reshape(len(structures), len(names)))
    return tables


def build_layout(graph: Graph, node_shapes: Mapping[str, Shape], present: Sequence[np.ndarray]) -> Layout:
    """The layout of the candidates that are `present` (one boolean vector an edge)."""
    groups: list[WeightGroup] = []
    by_share: dict[str, int] = {}
    blocks: list[tuple[FunctionBlock, ...]] = []
    for index, edge in enumerate(graph.edges):
        in_shape, out_shape = node_shapes[edge.source], node_shapes[edge.target]
        row = []
        for candidate in np.flatnonzero(present[index]).tolist():
            spec = edge.functions[candidate]
            shapes = spec.plugin.weight_shapes(spec.options, in_shape, out_shape)
            group: int | None = None
            if shapes and spec.share is not None and spec.share in by_share:
                group = by_share[spec.share]
                shared = groups[group]
                groups[group] = WeightGroup(shared.name, shared.shapes, (*shared.users, (index, candidate)))
            elif shapes:
                group = len(groups)
                name = f"{edge.key}/{spec.name}" if spec.share is None else f"share/{spec.share}"
                groups.append(WeightGroup(name, shapes, ((index, candidate),)))
                if spec.share is not None:
                    by_share[spec.share] = group
            function = spec.plugin(spec.options, in_shape, out_shape)
            row.append(FunctionBlock(index, candidate, spec.name, function, group))
        blocks.append(tuple(row))
    return Layout(graph, node_shapes, tuple(blocks), tuple(groups))
