"""Structures one step away from a structure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .choice_graph import can_keep_zero
from .edge_choice import Chosen, EdgeChoice
from .structure import Shape, Structure

if TYPE_CHECKING:
    from .structures import StructureSpace


@dataclass(frozen=True)
class Neighbourhood:
    """What is one step away in a space: another choice on one edge, or the next smaller or larger shape of one node.

    A step may bring a node into use for which nothing was chosen. It then gets its smallest shape, and on every edge
    into it the function with the fewest weights that passes something on; so do nodes before it that come into use.
    Neighbours are the structure with these choices, and every one that differs from it in one of them.
    """

    space: StructureSpace

    @property
    def most(self) -> int:
        """An upper bound on the neighbours of a structure."""
        graph = self.space.graph
        total = sum(min(2, len(options) - 1) for _, options in self.space.shapes)
        for edge in self.space.edges:
            source = edge.ends[0]
            if source in graph.may_be_dead and (graph.into(source) or source in dict(self.space.shapes)):
                total += (edge.most_neighbours + 1) * (1 + self._most_into(source))
            else:
                total += edge.most_neighbours
        return total

    def _most_into(self, node: str) -> int:
        """The largest number of choices that differ by one step from those that a node comes into use with."""
        waiting, found, total = [node], {node}, 0
        while waiting:
            here = waiting.pop()
            total += int(len(dict(self.space.shapes).get(here, ())) > 1)
            for number in self.space.graph.into(here):
                edge = self.space.edges[number]
                total += edge.most_neighbours
                if edge.ends[0] in self.space.graph.may_be_dead and edge.ends[0] not in found:
                    found.add(edge.ends[0])
                    waiting.append(edge.ends[0])
        return total

    def of(self, structure: Structure) -> Iterator[Structure]:
        """The neighbours of a canonical structure, each once."""
        seen = {structure}
        for chosen, shapes in self._changed(structure):
            edges = tuple((edge.key, names) for edge, names in zip(self.space.edges, chosen, strict=True))
            found = self.space.canonical_form(Structure(edges, tuple(shapes.items())))
            if found not in seen:
                seen.add(found)
                yield found

    def _changed(self, structure: Structure) -> Iterator[tuple[list[Chosen], dict[str, Shape]]]:
        """Vertices of every edge and shapes of every node after each step; some are equal to others."""
        graph, options = self.space.graph, dict(self.space.shapes)
        combination = self.combination(structure)
        chosen, shapes = [names for _, names in combination.edges], dict(combination.shapes)
        live = graph.reduce(chosen).live
        for number, edge in enumerate(self.space.edges):
            if edge.ends[1] not in live:
                continue
            changes = list(edge.neighbours(chosen[number]))
            if edge.ends[0] not in live:  # what has no effect now may have one once its source is in use
                changes.insert(0, chosen[number])
            for changed in changes:
                following = [*chosen[:number], changed, *chosen[number + 1 :]]
                if edge.ends[0] in live or not edge.reads_source(edge.reduced(changed)):
                    yield following, shapes
                else:
                    yield from self._brought_into_use(edge.ends[0], following, shapes, live)
        for node, shape in structure.shapes:
            if shape:
                ordered = sorted(options[node], key=size)
                place = ordered.index(shape)
                for other in ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]:
                    yield chosen, {**shapes, node: other}

    def _brought_into_use(
        self, node: str, chosen: Sequence[Chosen], shapes: dict[str, Shape], live: frozenset[str]
    ) -> Iterator[tuple[list[Chosen], dict[str, Shape]]]:
        """The choices that a node comes into use with, and all that differ from them by one step."""
        filled = list(chosen)
        revived = [node]
        for here in revived:
            for number in self.space.graph.into(here):
                edge = self.space.edges[number]
                filled[number] = passing_vertex(edge, shapes)
                if edge.reads_source(edge.reduced(filled[number])) and edge.ends[0] not in (*live, *revived):
                    revived.append(edge.ends[0])
        yield filled, shapes
        for here in revived:
            for number in self.space.graph.into(here):
                for changed in self.space.edges[number].neighbours(filled[number]):
                    yield [*filled[:number], changed, *filled[number + 1 :]], shapes
            for other in sorted(dict(self.space.shapes).get(here, ()), key=size)[1:2]:
                yield filled, {**shapes, here: other}

    def combination(self, structure: Structure) -> Structure:
        """What can be chosen on every edge and for every node such that together it is this canonical structure.

        Nodes without a use are 0 if they can, and have their smallest shape.
        """
        options = dict(self.space.shapes)
        shapes = tuple((node, shape or smallest(options[node])) for node, shape in structure.shapes)
        chosen = []
        for edge, (_, names) in zip(self.space.edges, structure.edges, strict=True):
            kept = edge.reduced(names)
            if edge.space == "all":
                chosen.append((edge.key, edge.names))
            elif kept or can_keep_zero(edge):
                chosen.append((edge.key, padded(edge, kept)))
            else:
                chosen.append((edge.key, edge.smallest_vertex({})))
        return Structure(tuple(chosen), shapes)


def size(shape: Shape) -> tuple[int, Shape]:
    """Orders shapes by the number of their elements."""
    return math.prod(shape), shape


def smallest(options: Sequence[Shape]) -> Shape:
    """The shape with the fewest elements."""
    return min(options, key=size)


def padded(edge: EdgeChoice, kept: Chosen) -> Chosen:
    """A vertex with these functions, and others that don't contribute as far as it needs some: first `zero`, then
    those that keep zero, where the source node is 0."""
    keeping = [name for name, facts in edge.facts_by_name.items() if facts.keeps_zero and name not in edge.zeros]
    fill = [name for name in (*edge.zeros, *sorted(keeping)) if name not in kept]
    needed = max(0, (1 if edge.space == "one" else edge.smallest) - len(kept))
    return tuple(name for name in edge.names if name in (*kept, *fill[:needed]))


def passing_vertex(edge: EdgeChoice, shapes: dict[str, Shape]) -> Chosen:
    """The vertex with the fewest weights that passes something on, from its source if it can."""
    if edge.space == "all":
        return edge.names
    sizes = edge.n_weights(shapes)
    order = sorted(
        edge.names,
        key=lambda name: (name in edge.zeros, edge.facts_by_name[name].ignores_input, sizes[name], name),
    )
    chosen = order[: 1 if edge.space == "one" else max(1, edge.smallest)]
    return tuple(name for name in edge.names if name in chosen)
