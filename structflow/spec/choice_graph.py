"""Which choices of a structure can change its output: the graph of the choices, and what is reduced in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .edge_choice import Chosen, EdgeChoice


@dataclass(frozen=True)
class Reduced:
    """What is left of the choices: the functions that contribute on every edge, and the nodes that the output reads.

    `zeros` are the nodes whose value is 0 whatever the weights are.
    """

    edges: tuple[Chosen, ...]
    live: frozenset[str]
    zeros: frozenset[str]


@dataclass(frozen=True)
class ChoiceGraph:
    """Edges with their choices, as a graph. Nodes that no edge enters are inputs, those that none leaves outputs."""

    edges: tuple[EdgeChoice, ...]

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """The nodes by the number of edges on the longest path to them, those of one level by name."""
        waiting = {node: len(into) for node, into in self._into.items()}
        ready = [node for node, number in waiting.items() if number == 0]
        found: list[tuple[str, ...]] = []
        while ready:
            found.append(tuple(sorted(ready, key=by_name)))
            ready = []
            for number in (number for node in found[-1] for number in self._out[node]):
                target = self.edges[number].ends[1]
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
        return tuple(found)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes, each behind those that lead to it."""
        return tuple(node for level in self.levels for node in level)

    @cached_property
    def _into(self) -> dict[str, list[int]]:
        """The numbers of the edges that enter every node, those from earlier nodes by name first."""
        return self._at(1)

    @cached_property
    def _out(self) -> dict[str, list[int]]:
        """The numbers of the edges that leave every node, in the order of the names that they lead to."""
        return self._at(0)

    def _at(self, end: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {node: [] for edge in self.edges for node in edge.ends}
        for number in sorted(range(len(self.edges)), key=lambda number: by_name(self.edges[number].ends[1 - end])):
            found[self.edges[number].ends[end]].append(number)
        return found

    def into(self, node: str) -> list[int]:
        """The numbers of the edges that enter a node, by the names of the nodes they come from."""
        return self._into[node]

    def out_of(self, node: str) -> list[int]:
        """The numbers of the edges that leave a node, by the names of the nodes they lead to."""
        return self._out[node]

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """The nodes between inputs and outputs."""
        return tuple(node for node in self.nodes if self._into[node] and self._out[node])

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The nodes that nothing leaves."""
        return frozenset(node for node in self.nodes if not self._out[node])

    def reduce(self, chosen: Sequence[Chosen]) -> Reduced:
        """Leave out of a structure what can't change its output; what is reduced already stays as it is.

        From the inputs on a node is 0 if nothing contributes on any edge into it, and functions of it that keep zero
        contribute nothing. From the outputs back a node counts if a function that contributes to one that counts
        depends on it; what leads into the others has no effect.
        """
        kept = list(chosen)
        zeros: set[str] = set()
        for node in self.nodes:
            into = self._into[node]
            for number in into:
                edge = self.edges[number]
                kept[number] = edge.reduced(chosen[number], edge.ends[0] in zeros)
            if into and not any(kept[number] for number in into):
                zeros.add(node)
        live = self.live(kept)
        for number, edge in enumerate(self.edges):
            if edge.ends[1] not in live:
                kept[number] = ()
        return Reduced(tuple(kept), live, frozenset(zeros))

    def live(self, kept: Sequence[Chosen]) -> frozenset[str]:
        """The nodes that the outputs depend on, where these functions contribute."""
        live = set(self.outputs)
        for node in reversed(self.nodes):
            if node in live:
                for number in self._into[node]:
                    edge = self.edges[number]
                    if edge.reads_source(kept[number]):
                        live.add(edge.ends[0])
        return frozenset(live)

    @cached_property
    def may_be_dead(self) -> frozenset[str]:
        """The nodes that some structures have no use for, whatever they are."""
        found: set[str] = set()
        for node in reversed(self.nodes):
            out = [self.edges[number] for number in self._out[node]]
            is_zero = node in self.may_be_zero
            if out and all(
                edge.unread_count > 0 or edge.ends[1] in found or (is_zero and can_be_unread_at_zero(edge))
                for edge in out
            ):
                found.add(node)
        return frozenset(found)

    @cached_property
    def may_be_zero(self) -> frozenset[str]:
        """The nodes that are 0 in some structures, and that functions which keep zero depend on."""
        zero: set[str] = set()
        for node in self.nodes:
            into = [self.edges[number] for number in self._into[node]]
            if into and all(edge.can_be_off or (edge.ends[0] in zero and can_keep_zero(edge)) for edge in into):
                zero.add(node)
        return frozenset(node for node in zero if any(keeps_any(self.edges[number]) for number in self._out[node]))


def keeps_any(edge: EdgeChoice) -> bool:
    """Whether a function of the edge, other than `zero`, is 0 where its input is."""
    return any(edge.facts_by_name[group[0]].keeps_zero for group in edge.same)


def can_keep_zero(edge: EdgeChoice) -> bool:
    """Whether a vertex of the edge is 0 where its input is."""
    return has_vertex_of(edge, [name for name, each in edge.facts_by_name.items() if each.is_zero or each.keeps_zero])


def can_be_unread_at_zero(edge: EdgeChoice) -> bool:
    """Whether a vertex of the edge has no function that depends on an input which is 0."""
    facts = edge.facts_by_name.items()
    return has_vertex_of(edge, [name for name, each in facts if each.is_zero or each.keeps_zero or each.ignores_input])


def has_vertex_of(edge: EdgeChoice, names: Sequence[str]) -> bool:
    """Whether an edge can choose none but these functions."""
    if edge.space == "all":
        return len(names) == len(edge.names)
    return len(names) >= (1 if edge.space == "one" else edge.smallest)


def by_name(node: str) -> tuple[int, str]:
    """Orders nodes by name, h2 before h10."""
    return len(node), node
