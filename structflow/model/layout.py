"""What a batch of members consists of: which basis functions are present, and which weights they own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FunctionError
from ..plugins import BasisFunction, Shape
from ..plugins.calling import Calling, origin_of
from ..spec.graph import Graph, GraphEdge, GraphFunction
from ..spec.structures import OpenSet, Structure

if TYPE_CHECKING:
    from torch import Tensor


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
    """Weights with one owner: a basis function, or several that share them. `users` are (edge, candidate).

    `starter` says how they start and `tied` whether the spec ties several functions to them; both follow from the
    spec alone, so that neither depends on which of the functions are present in a batch.
    """

    name: str
    shapes: Mapping[str, Shape]
    users: tuple[tuple[int, int], ...]
    starter: BasisFunction
    tied: bool

    @property
    def is_shared(self) -> bool:
        """Whether several functions of the batch use these weights."""
        return len(self.users) > 1

    @property
    def size(self) -> int:
        """Number of weights of one member."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def join(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Tensors (C, *shape) by name → the weights end to end, (C, size)."""
        import torch  # plans do without it

        return torch.cat([weights[name].reshape(len(weights[name]), -1) for name in self.shapes], dim=1)

    def split(self, joined: Tensor) -> dict[str, Tensor]:
        """Weights end to end (…, size) → tensors (…, *shape) by name."""
        parts = joined.split([int(np.prod(shape)) for shape in self.shapes.values()], dim=-1)
        return {
            name: part.reshape(*joined.shape[:-1], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


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


def uses(graph: Graph, structures: Sequence[Structure | OpenSet | None]) -> list[np.ndarray]:
    """For every edge who uses what: booleans (members, candidates).

    A relaxed member uses all functions of its open set; None is the relaxation over everything.
    """
    choices = [None if structure is None else dict(structure.edges) for structure in structures]
    tables = []
    for edge in graph.edges:
        names = [function.name for function in edge.functions]
        rows = [
            [True] * len(names) if chosen is None else [name in chosen[edge.key] for name in names]
            for chosen in choices
        ]
        tables.append(np.array(rows, dtype=bool).reshape(len(structures), len(names)))
    return tables


def functions_by_share(graph: Graph) -> dict[str, list[tuple[GraphEdge, GraphFunction]]]:
    """For every name of shared weights the functions that use them, in spec order."""
    sharing: dict[str, list[tuple[GraphEdge, GraphFunction]]] = {}
    for edge in graph.edges:
        for function in edge.functions:
            if function.share is not None:
                sharing.setdefault(function.share, []).append((edge, function))
    return sharing


def made(function: GraphFunction, edge: GraphEdge, in_shape: Shape, out_shape: Shape) -> BasisFunction:
    """The basis function itself, between two shapes."""

    def name() -> str:
        return f"basis function {function.name!r} on edge {edge.key} ({origin_of(function.plugin)})"

    with Calling(function.plugin, "__init__", name, FunctionError):
        built: BasisFunction = function.plugin(function.options, in_shape, out_shape)
    return built


def build_layout(graph: Graph, node_shapes: Mapping[str, Shape], present: Sequence[np.ndarray]) -> Layout:
    """The layout of the candidates that are `present` (one boolean vector an edge)."""
    sharing = functions_by_share(graph)
    groups: list[WeightGroup] = []
    by_share: dict[str, int] = {}
    blocks: list[tuple[FunctionBlock, ...]] = []
    for index, edge in enumerate(graph.edges):
        in_shape, out_shape = node_shapes[edge.source], node_shapes[edge.target]
        row = []
        for candidate in np.flatnonzero(present[index]).tolist():
            spec = edge.functions[candidate]
            shapes = spec.plugin.weight_shapes(spec.options, in_shape, out_shape)
            function = made(spec, edge, in_shape, out_shape)
            group: int | None = None
            if shapes and spec.share is None:
                group = len(groups)
                groups.append(WeightGroup(f"{edge.key}/{spec.name}", shapes, ((index, candidate),), function, False))
            elif shapes and spec.share is not None and spec.share in by_share:
                group = by_share[spec.share]
                groups[group] = replace(groups[group], users=(*groups[group].users, (index, candidate)))
            elif shapes and spec.share is not None:
                group = by_share[spec.share] = len(groups)
                first_edge, first = sharing[spec.share][0]
                ends = node_shapes[first_edge.source], node_shapes[first_edge.target]
                shapes = first.plugin.weight_shapes(first.options, *ends)
                starter = made(first, first_edge, *ends)
                tied = len(sharing[spec.share]) > 1
                groups.append(WeightGroup(f"share/{spec.share}", shapes, ((index, candidate),), starter, tied))
            row.append(FunctionBlock(index, candidate, spec.name, function, group))
        blocks.append(tuple(row))
    return Layout(graph, node_shapes, tuple(blocks), tuple(groups))
