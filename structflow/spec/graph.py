"""The graph of a spec with every name and shape resolved, on plain tuples: no tensors, no training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ..plugins import BasisFunction, Shape
from ..plugins.calling import Calling, broken_contract
from .structures import EdgeChoice, FunctionFacts, StructureSpace

INPUT = "x"
OUTPUT = "y"


@dataclass(frozen=True)
class GraphFunction:
    """A candidate on an edge: its name there, the plugin class and its options."""

    name: str
    plugin: type[BasisFunction]
    options: Any

    @property
    def share(self) -> str | None:
        """The group of functions that use the same weights."""
        share: str | None = self.options.share
        return share

    @cached_property
    def facts(self) -> FunctionFacts:
        """What it says about all its values, and what distinguishes it from other functions; raises `PluginError`."""
        options = self.options.model_dump(mode="json", exclude={"name", "share"})
        plugin = self.plugin
        return FunctionFacts(
            json.dumps([plugin.type, options], sort_keys=True),
            is_zero=self._promised("is_zero", plugin.is_zero),
            keeps_zero=self._promised("keeps_zero", plugin.keeps_zero),
            ignores_input=self._promised("ignores_input", plugin.ignores_input),
            share=self.share,
        )

    def _promised(self, method: str, ask: Callable[[Any], Any]) -> bool:
        """What a method of the contract says about the options."""
        with Calling(self.plugin, method):
            found = ask(self.options)
        if not isinstance(found, bool):
            raise broken_contract(self.plugin, method, repr(found), "True or False")
        return found


@dataclass(frozen=True)
class GraphEdge:
    """An edge with its candidates, in spec order."""

    source: str
    target: str
    space: Literal["one", "any", "all"]
    smallest: int
    functions: tuple[GraphFunction, ...]

    @property
    def key(self) -> str:
        """Its name in a structure."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order (`x` first, `y` last), edges in spec order.

    `shapes` lists the shapes each node can have: one for most, several where the structure chooses.
    """

    nodes: tuple[str, ...]
    shapes: Mapping[str, tuple[Shape, ...]]
    edges: tuple[GraphEdge, ...]

    def edges_into(self, node: str) -> list[tuple[int, GraphEdge]]:
        """Edges that end in a node, with their index."""
        return [(index, edge) for index, edge in enumerate(self.edges) if edge.target == node]

    def node_shapes(self, chosen: Mapping[str, Shape] | None = None) -> dict[str, Shape]:
        """The shape of every node under one assignment of the chosen ones; the first for () of a node without a use."""
        return {node: (chosen or {}).get(node) or options[0] for node, options in self.shapes.items()}

    def structure_space(self) -> StructureSpace:
        """All different structures of the graph."""
        return StructureSpace(
            tuple(
                EdgeChoice(
                    edge.key,
                    tuple(function.name for function in edge.functions),
                    edge.space,
                    edge.smallest,
                    self.weight_numbers(edge),
                    tuple(function.facts for function in edge.functions),
                )
                for edge in self.edges
            ),
            tuple((node, options) for node, options in self.shapes.items() if len(options) > 1),
            tuple((node, options[0]) for node, options in self.shapes.items() if len(options) == 1),
        )

    def weight_numbers(self, edge: GraphEdge) -> dict[tuple[Shape | None, Shape | None], tuple[int, ...]]:
        """Numbers of weights of the edge's functions for the shapes of its ends; None for an end with one shape."""
        numbers: dict[tuple[Shape | None, Shape | None], tuple[int, ...]] = {}
        for source in self.shapes[edge.source]:
            for target in self.shapes[edge.target]:
                ends = (
                    source if len(self.shapes[edge.source]) > 1 else None,
                    target if len(self.shapes[edge.target]) > 1 else None,
                )
                numbers[ends] = tuple(
                    sum(map(math.prod, each.plugin.weight_shapes(each.options, source, target).values()))
                    for each in edge.functions
                )
        return numbers
