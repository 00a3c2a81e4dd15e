"""A batch of members that train as one program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import CallError
from ..plugins import Candidate, Shape
from ..spec.graph import Graph
from .group_index import GroupIndex, GroupTensors
from .layout import Layout, WeightGroup, build_layout, uses
from .network import Network
from .routing import Index, Routing, routing_for


class Indices(NamedTuple):
    """The index tensors of a population: of every edge's routing and of every weight group."""

    edges: tuple[Index, ...]
    groups: tuple[GroupTensors, ...]

    def to(self, device: torch.device) -> Indices:
        """The same tensors on a device."""
        edges, groups = (
            tuple(tuple(tensor.to(device) for tensor in index) for index in part) for part in (self.edges, self.groups)
        )
        return Indices(edges, groups)


@dataclass(frozen=True)
class Population:
    """Members with one assignment of node shapes, all discrete, or all relaxed over one open set.

    Everything that a compiled program depends on is in `signature`; what differs between populations of one
    signature is in `indices` and in the members' noise keys.
    """

    members: tuple[Candidate, ...]
    layout: Layout
    network: Network
    groups: tuple[GroupIndex, ...]

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.members)

    @property
    def is_relaxed(self) -> bool:
        """Whether its members' structures are distributions rather than vertices."""
        return self.members[0].structure is None

    @property
    def choice_edges(self) -> tuple[int, ...]:
        """Edges whose γ is random, in a relaxed population: those with a choice among the functions still open.

        On an edge of `one` with one open function γ is 1; on an edge of `any` it is random for every open function.
        """
        if not self.is_relaxed:
            return ()
        return tuple(
            index
            for index, (edge, blocks) in enumerate(zip(self.layout.graph.edges, self.layout.blocks, strict=True))
            if len(blocks) > {"one": 1, "any": 0, "all": len(blocks)}[edge.space]
        )

    @property
    def indices(self) -> Indices:
        """The index tensors, on the CPU."""
        return Indices(
            tuple(routing.index for routing in self.network.routings), tuple(group.tensors for group in self.groups)
        )

    @property
    def signature(self) -> str:
        """Identifies the compiled program: graph, functions and options, shapes, capacities and routings."""
        graph = self.layout.graph
        topology = (graph.nodes, [(edge.key, edge.space, len(edge.functions)) for edge in graph.edges])
        shapes = sorted(self.layout.node_shapes.items())
        functions = [
            (block.edge, block.candidate, block.function.type, block.function.options.model_dump_json())
            for blocks in self.layout.blocks
            for block in blocks
        ]
        routings = [routing.signature for routing in self.network.routings]
        groups = [group.signature for group in self.groups]
        scaled = self.network.scale_by_structure
        return repr((self.size, self.is_relaxed, topology, shapes, functions, routings, groups, scaled))


def build_population(
    graph: Graph,
    node_shapes: Mapping[str, Shape],
    members: Sequence[Candidate],
    capacities: Sequence[Sequence[int]] | None = None,
    scale_by_structure: bool = False,
) -> Population:
    """Lay out a batch of members, all discrete, or all relaxed over one open set.

    `capacities` gives for every edge the number of slots of each candidate, by default just what the members need;
    larger ones make batches with other counts run the same program.
    """
    tables = uses(graph, [member.structure or member.open for member in members])
    counts = [table.sum(axis=0) for table in tables]
    slots = [np.asarray(given) for given in capacities] if capacities is not None else counts
    for edge, count, slot in zip(graph.edges, counts, slots, strict=True):
        if (slot < count).any():
            raise CallError(
                f"edge {edge.key} has {slot.tolist()} slots for {count.tolist()} members; give each function a slot "
                "for every member that uses it"
            )
    present = [slot > 0 for slot in slots]
    layout = build_layout(graph, node_shapes, present)
    routings: list[Routing] = []
    for edge, table, slot, here in zip(graph.edges, tables, slots, present, strict=True):
        one = bool((table.sum(axis=1) == 1).all()) and edge.space != "any"
        routings.append(routing_for(table[:, here], slot[here].tolist(), one))
    groups = tuple(group_index(group, layout, routings, tables) for group in layout.groups)
    network = Network(layout, tuple(routings), len(members), scale_by_structure)
    return Population(tuple(members), layout, network, groups)


def group_index(
    group: WeightGroup, layout: Layout, routings: Sequence[Routing], tables: Sequence[np.ndarray]
) -> GroupIndex:
    """Slots of a group: those of its only user, or all members where several functions share the weights."""
    members = len(tables[0])
    if group.is_shared:
        used = np.any([tables[edge][:, candidate] for edge, candidate in group.users], axis=0)
        everyone = np.arange(members)
        return GroupIndex(everyone, np.where(used, everyone, members))
    edge, candidate = group.users[0]
    position = [block.candidate for block in layout.blocks[edge]].index(candidate)
    slots, live = routings[edge].slots(position), routings[edge].live(position)
    positions = np.full(members, len(slots), dtype=np.int64)
    positions[slots[live]] = np.flatnonzero(live)
    return GroupIndex(slots, positions)


def member_values(per_slot: Tensor, group: GroupIndex, member: int) -> Tensor | None:
    """The slot of one member in a tensor (C, …), or None where it doesn't use the group."""
    position = int(group.positions[member])
    return per_slot[position] if position < len(group.slots) else None
