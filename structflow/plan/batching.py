"""Which members train together: a pure function of the members and a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.layout import uses
from ..plugins import Candidate, Parent, Shape
from ..spec.graph import Graph
from ..spec.structures import OpenSet, Structure
from ..store.records import BatchRecord, MemberName, ParentName, StructureJson

LEAST_GRID = 9
"""Structures of a grid below which it isn't worth a program of its own."""


@dataclass(frozen=True)
class Batch:
    """Members of one assignment of node shapes; `capacities` are the slots of every candidate on every edge."""

    members: tuple[Candidate, ...]
    shapes: tuple[tuple[str, Shape], ...]
    capacities: tuple[tuple[int, ...], ...]

    @property
    def open(self) -> OpenSet | None:
        """The open set that its members have in common; None for discrete members, or where everything is open."""
        return self.members[0].open

    def record(self, keys: Sequence[Sequence[str]]) -> BatchRecord:
        """For the record of a decision, with the members' training keys after every stage."""
        structures = list(dict.fromkeys(member.structure for member in self.members))
        parents = list(dict.fromkeys(member.parent for member in self.members if member.parent is not None))
        removals = list(dict.fromkeys(member.removed for member in self.members))
        number = {structure: index for index, structure in enumerate(structures)}
        parent_number = {parent: index for index, parent in enumerate(parents)}
        return BatchRecord(
            structures=tuple(map(as_dict, structures)),
            open=as_dict(self.open),
            parents=tuple(
                ParentName(
                    round=parent.round,
                    structure=as_dict(parent.structure),
                    open=as_dict(parent.open),
                    restart=parent.restart,
                )
                for parent in parents
            ),
            removals=tuple(removals),
            members=tuple(
                MemberName(
                    number[member.structure],
                    member.restart,
                    member.fold,
                    None if member.parent is None else parent_number[member.parent],
                    removals.index(member.removed),
                    tuple(own),
                )
                for member, own in zip(self.members, keys, strict=True)
            ),
            shapes=self.shapes,
            capacities=self.capacities,
        )

    @classmethod
    def of_record(cls, stored: BatchRecord) -> Batch:
        """The inverse of `record`."""
        structures = [structure_of(item) for item in stored.structures]
        left = None if stored.open is None else OpenSet.from_dict(stored.open)
        parents = [
            Parent(
                parent.round,
                structure_of(parent.structure),
                None if parent.open is None else OpenSet.from_dict(parent.open),
                parent.restart,
            )
            for parent in stored.parents
        ]
        members = tuple(
            Candidate(
                structures[name.structure],
                name.restart,
                left,
                None if name.parent is None else parents[name.parent],
                name.fold,
                stored.removals[name.removal],
            )
            for name in stored.members
        )
        return cls(members, stored.shapes, stored.capacities)


def as_dict(structure: Structure | OpenSet | None) -> Any:
    """A structure or an open set as plain data."""
    return None if structure is None else structure.as_dict()


def structure_of(stored: StructureJson | None) -> Structure | None:
    """A structure from plain data."""
    return None if stored is None else Structure.from_dict(stored)


def make_batches(
    graph: Graph,
    candidates: Sequence[Candidate],
    members_per_batch: int,
    one_structure_each: bool = False,
    together: int = 1,
) -> list[Batch]:
    """Cut candidates into batches of at most `members_per_batch`, as equal as possible.

    Members of different node shapes or open sets never share a batch, nor of different structures with
    `one_structure_each`.
    Where all structures of a group fit into one batch, each batch holds all of them with some of the restarts, so
    that it is a full grid. Where they don't but are a full grid over more edges, they are parted by their choices on
    the first edges, so that each batch is a full grid over the others. Otherwise a batch holds some structures, and all
    batches of the group get the same capacities, so that they run the same program. Each `together` candidates that
    follow one another (the folds of one) stay so.
    """
    groups: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        structure = candidate.structure
        kind = (shapes_of(graph, structure), candidate.open, structure if one_structure_each else None)
        groups.setdefault(kind, []).append(candidate)
    batches = []
    for members in [part for group in groups.values() for part in parted_into_grids(group, members_per_batch)]:
        shapes = shapes_of(graph, members[0].structure)
        parts = cut(members, members_per_batch, together)
        used = [uses(graph, [member.structure or member.open for member in part]) for part in parts]
        counts = [tuple(table.sum(axis=0) for table in tables) for tables in used]
        most = [np.max([count[edge] for count in counts], axis=0) for edge in range(len(graph.edges))]
        equal = len({len(part) for part in parts}) == 1
        for part, count in zip(parts, counts, strict=True):
            chosen = most if equal else count
            batches.append(Batch(tuple(part), shapes, tuple(tuple(row.tolist()) for row in chosen)))
    return batches


def shapes_of(graph: Graph, structure: Structure | None) -> tuple[tuple[str, Shape], ...]:
    """The shapes that a structure chooses; for a node without a use any will do."""
    if structure is None:
        return ()
    shapes = graph.node_shapes(dict(structure.shapes))
    return tuple((node, shapes[node]) for node, _ in structure.shapes)


def cut(members: Sequence[Candidate], most: int, together: int = 1) -> list[list[Candidate]]:
    """Parts of at most `most` members: whole sets of structures by restart where they fit, else runs of members."""
    structures = list(dict.fromkeys((member.structure, member.fold) for member in members))
    restarts = sorted({member.restart for member in members})
    cells = {(member.structure, member.fold, member.restart): member for member in members}
    if len(structures) <= most and len(members) == len(cells) == len(structures) * len(restarts):
        per_part = equal_size(len(restarts), most // len(structures))
        return [
            [
                cells[structure, fold, restart]
                for structure, fold in structures
                for restart in restarts[begin : begin + per_part]
            ]
            for begin in range(0, len(restarts), per_part)
        ]
    size = equal_size(len(members) // together, max(1, most // together)) * together
    return [list(members[begin : begin + size]) for begin in range(0, len(members), size)]


def parted_into_grids(members: Sequence[Candidate], most: int) -> list[list[Candidate]]:
    """Members parted by their choices on as few leading edges as leave full grids of at most `most` structures.

    All in one part where that can't be, or where its batches would be less than half full: a full grid is trained in
    views of its tensors, several times faster than members that are gathered by index, but needs a program of its own.
    """
    structures = list(dict.fromkeys(member.structure for member in members))
    together = [list(members)]
    if None in structures or len(structures) <= most or len(members) % len(structures):
        return together
    for leading in range(1, len(members[0].structure.edges) if members[0].structure is not None else 0):
        parts: dict[object, list[Candidate]] = {}
        for member in members:
            assert member.structure is not None
            parts.setdefault(member.structure.edges[:leading], []).append(member)
        counts = [len({member.structure for member in part}) for part in parts.values()]
        if max(counts) > most:
            continue
        if max(counts) < LEAST_GRID:
            return together
        batches = sum(len(cut(part, most)) for part in parts.values())
        if all(map(is_grid, parts.values())) and batches * most <= 2 * len(members):
            return list(parts.values())
        return together
    return together


def is_grid(members: Sequence[Candidate]) -> bool:
    """Whether the structures of the members are all combinations of what each edge chooses, equally often."""
    structures = {member.structure for member in members}
    choices: dict[str, set[object]] = {}
    for structure in structures:
        if structure is None:
            return False
        for key, chosen in structure.edges:
            choices.setdefault(key, set()).add(chosen)
    combinations = math.prod(len(values) for values in choices.values())
    return len(structures) == combinations and len(members) % len(structures) == 0


def most_batches(members: int, groups: int, members_per_batch: int) -> int:
    """An upper bound on the batches of at most `members` members that fall into at most `groups` groups.

    n members of a group make fewer than 1 + 2n / members_per_batch batches: sets of s structures by restart hold
    ⌊members_per_batch / s⌋ s members, which is more than half of `members_per_batch`. Where all of them fit into one
    batch, so does every group.
    """
    if members <= members_per_batch:
        return min(members, groups)
    return min(members, groups + 2 * members // members_per_batch)


def equal_size(total: int, most: int) -> int:
    """The size of parts, at most `most`, that cuts `total` into the fewest and most equal parts."""
    parts = -(-total // max(1, most))
    return -(-total // parts)
