"""The different structures of a space: counted, and listed without those that are equal to an earlier one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .choice_graph import ChoiceGraph
from .edge_choice import Chosen
from .interchangeable import Choices, InterchangeableNodes
from .structure import Shape

MOST_LISTED = 20_000
"""Structures beyond which those of a space are not listed to count them."""

MOST_STATES = 20_000
"""Sets of nodes in use that are kept while structures are counted."""


@dataclass(frozen=True)
class Count:
    """A number of structures, exact or an upper bound."""

    number: int
    exact: bool


@dataclass(frozen=True)
class Decision:
    """One choice in the order in which structures are listed: of a node's shape, or (`edge`) on an edge into it.

    `twin` is the number of the same choice of the node before in a group of interchangeable ones, `earlier` that of the
    choice before this one of the same node.
    """

    node: str
    edge: int | None
    twin: int | None = None
    earlier: int | None = None


@dataclass(frozen=True)
class DistinctStructures:
    """The structures of a graph in which `shapes` are those of the nodes that choose theirs.

    They are built from the outputs back, so that nothing is chosen for nodes without a use; of interchangeable nodes
    none chooses less than the one before.
    """

    graph: ChoiceGraph
    shapes: Mapping[str, Sequence[Shape]]
    interchangeable: InterchangeableNodes

    @cached_property
    def uncertain(self) -> frozenset[str]:
        """The nodes that some structures have no use for, and that something is chosen for."""
        return frozenset(node for node in self.graph.may_be_dead if self.graph.into(node) or node in self.shapes)

    @property
    def is_empty(self) -> bool:
        """Whether there is an edge or a node that has nothing to choose."""
        edges = (edge.reduced_count for edge in self.graph.edges)
        return 0 in (*edges, *(len(options) for options in self.shapes.values()))

    @cached_property
    def is_product(self) -> bool:
        """Whether every choice has an effect whatever the others are, and no nodes are interchangeable."""
        return not (self.uncertain or self.graph.may_be_zero or self.interchangeable.groups)

    @cached_property
    def count(self) -> Count:
        """How many there are: exact where nodes are neither 0 nor interchangeable, or where all can be listed."""
        if self.is_empty:
            return Count(0, True)
        most, exact = self._with_nodes_in_use()
        if exact and not self.graph.may_be_zero and not self.interchangeable.groups:
            return Count(most, True)
        if most > MOST_LISTED * self.interchangeable.n_permutations:
            return Count(most, False)
        listed = 0
        for visited, new in enumerate(self._visited() if self._repeats else self._built()):
            if visited == MOST_LISTED:
                return Count(most, False)
            listed += new is not None
        return Count(listed, True)

    def _with_nodes_in_use(self) -> tuple[int, bool]:
        """The number where choices of nodes without a use aren't counted, but all others; and whether it is exact.

        Edge by edge from the outputs back, by the set of nodes in use among those that are still being looked at: a
        node is looked at from the first edge out of it on, until the last edge into it. Where there are too many such
        sets it is the number of all combinations.
        """
        graph = self.graph
        numbers = {frozenset[str](): math.prod(len(options) for options in self.shapes.values())}
        for node in self.uncertain & self.shapes.keys():
            numbers[frozenset()] //= len(self.shapes[node])
        out = {node: len(graph.out_of(node)) for node in graph.nodes}
        into = {node: len(graph.into(node)) for node in graph.nodes}
        waiting = [number for node in graph.outputs for number in graph.into(node)]
        while waiting:
            number = min(waiting, key=lambda each: self._cost(each, out))
            waiting.remove(number)
            source, target = graph.edges[number].ends
            out[source], into[target] = out[source] - 1, into[target] - 1
            known = {target} if into[target] == 0 else set[str]()  # whether it is in use doesn't matter any more
            left: dict[frozenset[str], int] = {}
            for in_use, so_far in numbers.items():
                for now, ways in self._ways(number, in_use):
                    shapes = len(self.shapes.get(source, (None,))) if out[source] == 0 and source in now else 1
                    done = known | ({source} if into[source] == 0 and out[source] == 0 else set())
                    left[now - done] = left.get(now - done, 0) + so_far * ways * shapes
            numbers = left
            if out[source] == 0:
                waiting += graph.into(source)
            if len(numbers) > MOST_STATES:
                edges = math.prod(edge.reduced_count for edge in graph.edges)
                return edges * math.prod(len(options) for options in self.shapes.values()), False
        return sum(numbers.values()), True

    def _cost(self, number: int, out: Mapping[str, int]) -> tuple[int, int]:
        """Orders edges such that few nodes are looked at at a time: by how many edges out of them are still to come."""
        source = self.graph.edges[number].ends[0]
        return out[source] if source in self.uncertain else 0, number

    def _ways(self, number: int, in_use: frozenset[str]) -> Iterator[tuple[frozenset[str], int]]:
        """In how many ways an edge can be chosen, with the nodes in use after each."""
        edge = self.graph.edges[number]
        source, target = edge.ends
        if target in self.uncertain and target not in in_use:
            yield in_use, 1
        elif source not in self.uncertain:
            yield in_use, edge.reduced_count
        else:
            if edge.unread_count:
                yield in_use, edge.unread_count
            if edge.reduced_count > edge.unread_count:
                yield in_use | {source}, edge.reduced_count - edge.unread_count

    def __iter__(self) -> Iterator[Choices]:
        """Every structure once, as the one that stands for all that are equal, in a fixed order."""
        return (found for found in self._visited() if found is not None)

    @property
    def _repeats(self) -> bool:
        """Whether different combinations that are listed may be equal."""
        return bool(self.graph.may_be_zero or self.interchangeable.tried_groups)

    def _visited(self) -> Iterator[Choices | None]:
        """The same, with None for each that is equal to one before."""
        if self.is_empty:
            return
        seen: set[object] = set()
        for edges, shapes in self._built():
            found = self.canonical(edges, shapes)
            if self._repeats:
                key = (found[0], tuple(found[1].items()))
                if key in seen:
                    yield None
                    continue
                seen.add(key)
            yield found

    def canonical(self, edges: Sequence[Chosen], shapes: Mapping[str, Shape]) -> Choices:
        """The reduced structure that stands for all that are equal to a structure."""
        reduced = self.graph.reduce(edges)
        in_use = {
            node: shapes.get(node, ()) if node in reduced.live or node not in self.graph.nodes else ()
            for node in self.shapes
        }
        return self.interchangeable.canonical((reduced.edges, in_use))

    @cached_property
    def _decisions(self) -> tuple[Decision, ...]:
        """Shapes and edges of the nodes from the outputs back, with those of interchangeable nodes side by side."""
        before = {
            node: other for group in self.interchangeable.sorted_groups for other, node in itertools.pairwise(group)
        }
        found = [Decision(node, None) for node in self.shapes if node not in self.graph.nodes]
        places: dict[tuple[str, object], int] = {}
        latest: dict[str, int] = {}

        def add(node: str, edge: int | None, of: str, which: object) -> None:
            """Note a decision about the node `of`; `which` tells it from the others about it."""
            twin = places[before[of], which] if of in before else None
            places[of, which] = latest_now = len(found)
            found.append(Decision(node, edge, twin, latest.get(of)))
            latest[of] = latest_now

        for node in (node for level in reversed(self.graph.levels) for node in level):
            grouped = any(node in group for group in self.interchangeable.sorted_groups)
            if node in self.shapes:
                add(node, None, node, "shape")
            for number in self.graph.into(node):
                source = self.graph.edges[number].ends[0]
                if grouped:
                    add(node, number, node, ("from", source))
                else:
                    add(node, number, source, ("to", node))
        return tuple(found)

    def _built(self) -> Iterator[tuple[tuple[Chosen, ...], dict[str, Shape]]]:
        """Functions of every edge and shapes, from the outputs back; () for what leads into nodes without a use."""
        decisions = self._decisions
        edges: list[Chosen] = [()] * len(self.graph.edges)
        shapes: dict[str, Shape] = {}
        uses = dict.fromkeys(self.graph.nodes, 0)
        for node in (*self.graph.outputs, *(node for node in self.shapes if node not in self.graph.nodes)):
            uses[node] = 1
        indices = [-1] * len(decisions)
        tied = [True] * len(decisions)

        def options(number: int) -> Iterator[tuple[int, tuple[Chosen, Shape]]]:
            """What can be chosen, with its index among all; one entry of index −1 where it has no use."""
            decision = decisions[number]
            least = -1
            if decision.twin is not None:
                earlier = decision.earlier
                twin = None if earlier is None else decisions[earlier].twin
                tied[number] = earlier is None or (
                    tied[earlier] and twin is not None and indices[earlier] == indices[twin]
                )
                least = indices[decision.twin] if tied[number] else -1
            if not uses[decision.node]:
                yield -1, ((), ())
                return
            every: Iterator[tuple[Chosen, Shape]]
            if decision.edge is None:
                every = (((), shape) for shape in self.shapes[decision.node])
            else:
                every = ((chosen, ()) for chosen in self.graph.edges[decision.edge].reduced_vertices())
            for index, choice in enumerate(every):
                if index >= least:
                    yield index, choice

        def read(edge: int) -> int:
            """1 if what is chosen on an edge depends on the node that it leaves."""
            return int(self.graph.edges[edge].reads_source(edges[edge]))

        if not decisions:
            yield tuple(edges), shapes
            return
        waiting = [options(0)]
        while waiting:
            number = len(waiting) - 1
            decision = decisions[number]
            if decision.edge is not None:
                uses[self.graph.edges[decision.edge].ends[0]] -= read(decision.edge)
                edges[decision.edge] = ()
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                continue
            indices[number], (chosen, shape) = following
            if decision.edge is None:
                shapes[decision.node] = shape
            else:
                edges[decision.edge] = chosen
                uses[self.graph.edges[decision.edge].ends[0]] += read(decision.edge)
            if number + 1 < len(decisions):
                waiting.append(options(number + 1))
            else:
                yield tuple(edges), dict(shapes)
