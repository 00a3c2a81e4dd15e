"""The space of all structures that a spec allows: counted symbolically and enumerated on demand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .choice_graph import ChoiceGraph
from .distinct_structures import DistinctStructures
from .edge_choice import Chosen, EdgeChoice, FunctionFacts
from .interchangeable import InterchangeableNodes
from .neighbours import Neighbourhood
from .structure import OpenSet, Shape, Structure

__all__ = ["EdgeChoice", "FunctionFacts", "OpenSet", "Shape", "Structure", "StructureSpace", "shown_count"]


@dataclass(frozen=True)
class StructureSpace:
    """All structures of a spec: what edges and nodes choose, where structures that are equal count once.

    `shapes` are the options of the nodes that choose theirs; `fixed` the shapes of the others, as far as they are
    known. Two structures are equal if they differ only in choices without an effect on the output, or in which of
    several interchangeable nodes is which (`canonical_form`). The space holds one structure for each function, the
    canonical one; every method takes any structure and gives canonical ones.
    """

    edges: tuple[EdgeChoice, ...]
    shapes: tuple[tuple[str, tuple[Shape, ...]], ...] = ()
    fixed: tuple[tuple[str, Shape], ...] = ()

    @cached_property
    def graph(self) -> ChoiceGraph:
        """Its choices as a graph."""
        return ChoiceGraph(self.edges)

    @cached_property
    def interchangeable(self) -> InterchangeableNodes:
        """Which nodes can change places."""
        known = {node: (shape,) for node, shape in self.fixed}
        return InterchangeableNodes(self.graph, {**known, **dict(self.shapes)})

    @cached_property
    def _distinct(self) -> DistinctStructures:
        return DistinctStructures(self.graph, dict(self.shapes), self.interchangeable)

    @property
    def count(self) -> int:
        """Number of different structures, for any size in no time; an upper bound where it isn't `count_is_exact`."""
        return self._distinct.count.number

    @property
    def count_is_exact(self) -> bool:
        """Whether `count` is their number. It is an upper bound for large spaces some of whose nodes are
        interchangeable, or always 0 in some structures."""
        return self._distinct.count.exact

    @property
    def n_combinations(self) -> int:
        """Number of combinations of all choices, equal structures counted as often as they arise."""
        return math.prod(edge.count for edge in self.edges) * math.prod(len(options) for _, options in self.shapes)

    def shape_assignments(self) -> Iterator[tuple[tuple[str, Shape], ...]]:
        """Every assignment of shapes to the nodes that choose theirs."""
        nodes = [node for node, _ in self.shapes]
        for shapes in itertools.product(*(options for _, options in self.shapes)):
            yield tuple(zip(nodes, shapes, strict=True))

    def __iter__(self) -> Iterator[Structure]:
        """Every structure: shapes outermost and the last edge fastest where all choices always have an effect.

        Elsewhere the choices nearest to the output are outermost.
        """
        if self._distinct.is_product:
            for shapes in self.shape_assignments():
                for chosen in lazy_product(self.edges):
                    yield Structure(chosen, shapes)
            return
        for edges, shapes_in_use in self._distinct:
            yield self._structure(edges, shapes_in_use)

    def __contains__(self, structure: object) -> bool:
        """Whether something is a combination of what can be chosen, or the canonical form of one; nothing is listed."""
        if not isinstance(structure, Structure):
            return False
        if [key for key, _ in structure.edges] != [edge.key for edge in self.edges]:
            return False
        if [node for node, _ in structure.shapes] != [node for node, _ in self.shapes]:
            return False
        known = all(set(names) <= set(edge.names) for edge, (_, names) in zip(self.edges, structure.edges, strict=True))
        if not known or self._is_combination(structure):
            return known
        vertices = Neighbourhood(self).combination(structure)
        return self._is_combination(vertices) and self.canonical_form(vertices) == structure

    def _is_combination(self, structure: Structure) -> bool:
        """Whether every edge has one of its vertices and every node one of its shapes."""
        return all(names in edge for edge, (_, names) in zip(self.edges, structure.edges, strict=True)) and all(
            shape in options for (_, options), (_, shape) in zip(self.shapes, structure.shapes, strict=True)
        )

    def canonical_form(self, structure: Structure) -> Structure:
        """The structure of the space that is the same function of the inputs.

        Edges hold only functions that contribute: nothing where the edge leads nowhere, `zero` (or nothing, where that
        can be chosen) where it could contribute and doesn't; nodes without a use have the shape (). Functions of one
        edge that are the same, and nodes that are interchangeable, are chosen in the order of their names.
        """
        chosen = dict(structure.edges)
        edges = [chosen.get(edge.key, ()) for edge in self.edges]
        return self._structure(*self._distinct.canonical(edges, dict(structure.shapes)))

    def equal_choices(self, structure: Structure) -> dict[str, Chosen]:
        """For every edge the functions that can be chosen in its place for the same structure: of `one` each by itself.

        An edge of `any` without an effect isn't named. Left out are nodes that change places, and other ways for a node
        to be 0 whose functions keep zero.
        """
        reduced = self.graph.reduce([names for _, names in self.canonical_form(structure).edges])
        found: dict[str, Chosen] = {}
        for edge, kept in zip(self.edges, reduced.edges, strict=True):
            source, target = edge.ends
            if target in reduced.live:
                same = (name for name in edge.names if edge.reduced((name,), source in reduced.zeros) == kept)
                found[edge.key] = tuple(same) if edge.space == "one" else kept
            elif edge.space == "one":
                found[edge.key] = edge.names
        return found

    def _structure(self, edges: Sequence[Chosen], shapes: Mapping[str, Shape]) -> Structure:
        """Reduced choices as a structure."""
        live = self.graph.live(edges)
        written = (
            (edge.key, edge.vertex_of(names) if edge.ends[1] in live else ())
            for edge, names in zip(self.edges, edges, strict=True)
        )
        return Structure(tuple(written), tuple((node, shapes[node]) for node, _ in self.shapes))

    @property
    def open_set(self) -> OpenSet:
        """All of its functions."""
        return OpenSet(tuple((edge.key, edge.names) for edge in self.edges))

    def restricted(self, to: OpenSet) -> StructureSpace:
        """The space of the structures whose functions are all open; edges that the open set doesn't name stay."""
        names = dict(to.edges)
        return replace(self, edges=tuple(edge.restricted(names.get(edge.key, edge.names)) for edge in self.edges))

    def n_weights(self, structure: Structure) -> int:
        """Weights of a structure that have an effect; those that functions share count once for every function."""
        form = self.canonical_form(structure)
        shapes = {node: shape or dict(self.shapes)[node][0] for node, shape in form.shapes}
        sizes = {edge.key: edge.n_weights(shapes) for edge in self.edges}
        return sum(sizes[key][name] for key, names in form.edges for name in names)

    @property
    def simplest(self) -> Structure:
        """The structure with the fewest weights on every edge, and `zero` where it can be; equal ones by name."""
        found = {
            self.canonical_form(
                Structure(tuple((edge.key, edge.smallest_vertex(dict(shapes))) for edge in self.edges), shapes)
            )
            for shapes in self.shape_assignments()
        }
        return min(found, key=lambda structure: (self.n_weights(structure), structure.canonical))

    def neighbours(self, structure: Structure) -> Iterator[Structure]:
        """Structures one step away: one edge's choice changed, or one node's shape to the next smaller or larger.

        Where a step brings nodes into use, see `Neighbourhood`. None comes twice, nor does the structure itself.
        """
        return Neighbourhood(self).of(self.canonical_form(structure))

    @property
    def most_neighbours(self) -> int:
        """An upper bound on the neighbours of a structure."""
        return Neighbourhood(self).most

    def round(self, weights: Sequence[Sequence[float]]) -> Structure:
        """The structure nearest to probabilities, one sequence an edge; for spaces without a choice of shapes."""
        nearest = (edge.round(values) for edge, values in zip(self.edges, weights, strict=True))
        return self.canonical_form(
            Structure(tuple((edge.key, names) for edge, names in zip(self.edges, nearest, strict=True)))
        )


def shown_count(count: int) -> str:
    """A number of structures for people: exact as far as one reads digits, else its order of magnitude."""
    return f"{count:,}" if count < 10**15 else f"about 10^{int(math.log10(count))}"


def lazy_product(edges: Sequence[EdgeChoice]) -> Iterator[tuple[tuple[str, Chosen], ...]]:
    """Every combination of the edges' choices, the last edge fastest.

    `itertools.product` would first list the choices of each edge, 2^40 of them for 40 functions.
    """
    chosen: list[tuple[str, Chosen]] = []
    choices = [edges[0].reduced_vertices()] if edges else []
    if not edges:
        yield ()
    while choices:
        del chosen[len(choices) - 1 :]
        reduced = next(choices[-1], None)
        if reduced is None:
            choices.pop()
            continue
        edge = edges[len(choices) - 1]
        chosen.append((edge.key, edge.vertex_of(reduced)))
        if len(choices) < len(edges):
            choices.append(edges[len(choices)].reduced_vertices())
        else:
            yield tuple(chosen)
