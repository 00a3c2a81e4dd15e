"""The prior probability of a structure: that of all combinations of choices that are equal to it, together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .edge_choice import Chosen, EdgeChoice
from .structure import Structure
from .structures import StructureSpace


@dataclass(frozen=True)
class EdgePrior:
    """p(vertex) ∝ ∏_{l in vertex} exp(`weights`_l) over the vertices of an edge: log probabilities for `one`, log odds
    for `any`, in the order of its functions."""

    edge: EdgeChoice
    weights: tuple[float, ...]

    @cached_property
    def _by_name(self) -> dict[str, float]:
        return dict(zip(self.edge.names, self.weights, strict=True))

    @cached_property
    def _known(self) -> dict[tuple[Chosen, bool], float]:
        return {}

    def log_probability(self, reduced: Chosen, source_is_zero: bool) -> float:
        """log of the probability that the edge's vertex is reduced to this, given whether its source node is 0."""
        place = (reduced, source_is_zero)
        if place not in self._known:
            self._known[place] = self._sum(reduced, source_is_zero) - self._total
        return self._known[place]

    @cached_property
    def _total(self) -> float:
        """log of the sum over all vertices."""
        if self.edge.space == "all":
            return 0.0
        if self.edge.space == "one":
            return log_sum(self.weights)
        return self._at_least(self.edge.names, self.edge.smallest)

    def _sum(self, reduced: Chosen, source_is_zero: bool) -> float:
        """log of the sum over the vertices that are reduced to this."""
        edge = self.edge
        if edge.space == "all":
            return 0.0 if edge.reduced(edge.names, source_is_zero) == reduced else -math.inf
        if edge.space == "one":
            found = [name for name in edge.names if edge.reduced((name,), source_is_zero) == reduced]
            return log_sum(self._by_name[name] for name in found)
        free = [name for name in edge.names if not edge.reduced((name,), source_is_zero)]
        total = 0.0
        for group in edge.same:
            if group[0] not in free:
                number = sum(name in reduced for name in group)
                total += self._by_size(group)[number]
        return total + self._at_least(free, edge.smallest - len(reduced))

    def _at_least(self, names: Sequence[str], least: int) -> float:
        """log Σ ∏ exp(weight) over the subsets with at least so many functions."""
        if least <= 0:
            return sum(log_sum((0.0, self._by_name[name])) for name in names)
        return log_sum(self._by_size(names)[least:])

    def _by_size(self, names: Sequence[str]) -> list[float]:
        """log Σ ∏ exp(weight) over the subsets of each size."""
        sizes = [0.0]
        for name in names:
            weight = self._by_name[name]
            longer = [*sizes, -math.inf]
            for size, value in enumerate(sizes):
                longer[size + 1] = log_sum((longer[size + 1], value + weight))
            sizes = longer
        return sizes


@dataclass(frozen=True)
class ClassPrior:
    """The prior over the structures of a space, given for every edge its log probabilities or log odds.

    Edges and shapes are independent, shapes equally probable, and the prior is that among the combinations that the
    space allows. The probability of a structure is the sum over all combinations with its canonical form: of choices
    without an effect the sum is 1 where their nodes are unused whatever they are, and it runs over the ways in
    which a node is 0 where functions that keep zero are fed by it.
    """

    space: StructureSpace
    weights: Mapping[str, Sequence[float]]

    @cached_property
    def _edges(self) -> tuple[EdgePrior, ...]:
        return tuple(EdgePrior(edge, tuple(self.weights.get(edge.key, ()))) for edge in self.space.edges)

    @cached_property
    def _out_of_use(self) -> dict[object, float]:
        return {}

    def log_probability(self, structure: Structure) -> float:
        """log p of a structure, and of all that are equal to it together."""
        graph, form = self.space.graph, self.space.canonical_form(structure)
        reduced = graph.reduce([names for _, names in form.edges])
        shapes = dict(form.shapes)
        total = math.log(self.space.interchangeable.n_equal((reduced.edges, shapes)))
        total -= sum(math.log(len(options)) for node, options in self.space.shapes if shapes[node])
        uncertain = []
        for number, edge in enumerate(self.space.edges):
            source, target = edge.ends
            if target not in reduced.live:
                continue
            if source in reduced.live or not graph.into(source):
                total += self._edges[number].log_probability(reduced.edges[number], source in reduced.zeros)
            else:
                uncertain.append(number)
        if not uncertain:
            return total
        zeros = frozenset(node for node in reduced.live if node in reduced.zeros)
        place = (reduced.live, zeros, tuple(reduced.edges[number] for number in uncertain))
        if place not in self._out_of_use:
            self._out_of_use[place] = self._log_chance(reduced.edges, reduced.live, zeros)
        return total + self._out_of_use[place]

    def _log_chance(self, edges: Sequence[Chosen], live: frozenset[str], zeros: frozenset[str]) -> float:
        """log of the probability that the edges from unused nodes into others are reduced as they are.

        It depends on which of the unused nodes are 0: from the inputs on, the sum over all sets of them.
        """
        graph, done = self.space.graph, set[str]()
        states: dict[frozenset[str], float] = {zeros: 0.0}
        for node in graph.nodes:
            into = graph.into(node)
            if node in live:
                into = [number for number in into if self._is_uncertain(number, live)]
            following: dict[frozenset[str], list[float]] = {}
            done.add(node)
            for state, log_chance in states.items():
                for now, more in self._after(node, into, edges, live, state):
                    key = frozenset(each for each in now if not self._targets[each] <= done)
                    following.setdefault(key, []).append(log_chance + more)
            states = {state: log_sum(values) for state, values in following.items()}
        return log_sum(states.values())

    @cached_property
    def _targets(self) -> dict[str, set[str]]:
        """The nodes that the edges of every node lead to."""
        graph = self.space.graph
        return {node: {graph.edges[number].ends[1] for number in graph.out_of(node)} for node in graph.nodes}

    def _is_uncertain(self, number: int, live: frozenset[str]) -> bool:
        """Whether an edge comes from an unused node."""
        source = self.space.edges[number].ends[0]
        return source not in live and bool(self.space.graph.into(source))

    def _after(
        self, node: str, into: Sequence[int], edges: Sequence[Chosen], live: frozenset[str], zeros: frozenset[str]
    ) -> Iterator[tuple[frozenset[str], float]]:
        """The nodes that are 0 once a node is looked at, with the log of how probable that is."""
        if not into:
            yield zeros, 0.0
            return
        wanted = [edges[number] if node in live else () for number in into]
        chance = sum(
            self._edges[number].log_probability(reduced, self.space.edges[number].ends[0] in zeros)
            for number, reduced in zip(into, wanted, strict=True)
        )
        if node in live:
            yield zeros, chance
        elif node not in self.space.graph.may_be_zero:
            yield zeros, 0.0
        else:
            if chance > -math.inf:
                yield zeros | {node}, chance
            if chance < 0:
                yield zeros, math.log(-math.expm1(chance))


def log_sum(values: Iterable[float]) -> float:
    """log Σ exp, without overflow; −∞ for none."""
    listed = list(values)
    highest = max(listed, default=-math.inf)
    if highest == -math.inf:
        return -math.inf
    return float(highest + math.log(math.fsum(math.exp(value - highest) for value in listed)))
