"""Nodes that can change places: hidden units alike in everything, of which it doesn't matter which is which."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .choice_graph import ChoiceGraph, by_name
from .edge_choice import Chosen
from .structure import Shape

MOST_PERMUTATIONS = 120
"""Permutations that are tried one by one where groups of interchangeable nodes are connected with one another."""

Choices = tuple[tuple[Chosen, ...], Mapping[str, Shape]]
"""Reduced functions of every edge, and shapes of the nodes that choose theirs, () for those without a use."""


@dataclass(frozen=True)
class InterchangeableNodes:
    """Groups of hidden nodes with the same neighbours, candidate functions and shapes; `shapes` are those of all nodes.

    Exchanging two nodes of a group, with all their edges, gives the same function. Of all structures that arise so one
    stands for all: in it the nodes of a group are sorted by their choices, those in use first. Where two groups are
    connected with one another, only one of them can be sorted; the permutations of the other are tried one by one, if
    they are few, and else its nodes count as different.
    """

    graph: ChoiceGraph
    shapes: Mapping[str, Sequence[Shape]]

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The groups, of two nodes at least, each in order of names."""
        alike: dict[Any, list[str]] = {}
        for node in self.graph.hidden:
            if node in self.shapes:
                alike.setdefault(self._description(node), []).append(node)
        return tuple(tuple(sorted(group, key=by_name)) for group in alike.values() if len(group) > 1)

    def _description(self, node: str) -> Any:
        """What nodes of a group have in common."""
        edges = self.graph.edges
        around, labels = [], dict[str, int]()
        for end, numbers in ((0, self.graph.into(node)), (1, self.graph.out_of(node))):
            for edge in (edges[number] for number in numbers):
                facts = [edge.facts_by_name[name] for name in edge.names]
                for index, each in enumerate(facts):
                    if each.share is not None and self._shared_on[each.share] <= set(self._around(node)):
                        label = labels.setdefault(each.share, len(labels))  # which goes where the node goes
                        facts[index] = replace(each, share=f"{label} of the node")
                places = tuple(edge.whole.index(name) for name in edge.names)  # the prior goes by them
                around.append((end, edge.ends[end], edge.names, places, edge.space, edge.smallest, tuple(facts)))
        return tuple(self.shapes[node]), tuple(around)

    @cached_property
    def _shared_on(self) -> dict[str, set[int]]:
        """The numbers of the edges on which functions use weights of each name."""
        found: dict[str, set[int]] = {}
        for number, edge in enumerate(self.graph.edges):
            for share in (facts.share for facts in edge.facts_by_name.values() if facts.share is not None):
                found.setdefault(share, set()).add(number)
        return found

    @cached_property
    def sorted_groups(self) -> tuple[tuple[str, ...], ...]:
        """The groups that are sorted: the largest first, none connected with another of them."""
        found: list[tuple[str, ...]] = []
        for group in sorted(self.groups, key=lambda group: (-len(group), [by_name(node) for node in group])):
            near = {end for number in self._around(group[0]) for end in self.graph.edges[number].ends}
            if not any(node in near for other in found for node in other):
                found.append(group)
        return tuple(found)

    @cached_property
    def tried_groups(self) -> tuple[tuple[str, ...], ...]:
        """The groups whose permutations are tried."""
        found: list[tuple[str, ...]] = []
        tried = 1
        for group in sorted((each for each in self.groups if each not in self.sorted_groups), key=len):
            tried *= math.factorial(len(group))
            if tried <= MOST_PERMUTATIONS:
                found.append(group)
        return tuple(found)

    @property
    def n_permutations(self) -> int:
        """The number of ways in which nodes can change places: no structure has more that are equal to it."""
        return math.prod(math.factorial(len(group)) for group in (*self.sorted_groups, *self.tried_groups))

    def canonical(self, choices: Choices) -> Choices:
        """The one that stands for all that arise when nodes of a group are exchanged."""
        if not self.groups:
            return choices
        return min((self._sorted(permuted) for permuted in self._permuted(choices)), key=self._order)

    def n_equal(self, canonical: Choices) -> int:
        """How many structures it stands for, itself included."""
        fixed = 1
        for group in self.sorted_groups:
            fixed *= math.prod(
                math.factorial(n) for n in Counter(self._state(canonical, node) for node in group).values()
            )
        order = self._order(canonical)
        fixed *= sum(self._order(self._sorted(permuted)) == order for permuted in self._permuted(canonical))
        return self.n_permutations // fixed

    def _around(self, node: str) -> list[int]:
        """The numbers of the edges of a node: first those into it, in the same order for all nodes of a group."""
        return [*self.graph.into(node), *self.graph.out_of(node)]

    def _state(self, choices: Choices, node: str) -> tuple[Any, ...]:
        """What was chosen around a node, such that nodes in use come before others."""
        edges, shapes = choices
        around = (edges[number] for number in self._around(node))
        return tuple((not chosen, chosen) for chosen in (*around, shapes.get(node, ())))

    def _order(self, choices: Choices) -> tuple[Any, ...]:
        """Orders structures that are equal but for their nodes' places."""
        return tuple(self._state(choices, node) for group in self.groups for node in group)

    def _sorted(self, choices: Choices) -> Choices:
        """With the nodes of the groups that are sorted in order."""
        for group in self.sorted_groups:
            order = sorted(group, key=lambda node: self._state(choices, node))
            choices = self._moved(choices, dict(zip(order, group, strict=True)))
        return choices

    def _permuted(self, choices: Choices) -> Iterator[Choices]:
        """With the nodes of the other groups in every order."""
        if not self.tried_groups:
            yield choices
            return
        for orders in itertools.product(*(itertools.permutations(group) for group in self.tried_groups)):
            places = {
                old: new
                for group, order in zip(self.tried_groups, orders, strict=True)
                for old, new in zip(group, order, strict=True)
            }
            yield self._moved(choices, places)

    def _moved(self, choices: Choices, places: Mapping[str, str]) -> Choices:
        """With every node in the place of another one."""
        if all(old == new for old, new in places.items()):
            return choices
        edges, shapes = list(choices[0]), dict(choices[1])
        for number, edge in enumerate(self.graph.edges):
            source, target = edge.ends
            moved = places.get(source, source), places.get(target, target)
            edges[self._number[moved]] = choices[0][number]
        for old, new in places.items():
            if old in choices[1]:
                shapes[new] = choices[1][old]
        return tuple(edges), shapes

    @cached_property
    def _number(self) -> dict[tuple[str, str], int]:
        """The number of the edge between two nodes."""
        return {edge.ends: number for number, edge in enumerate(self.graph.edges)}
