"""The choice on one edge: its vertices, and what they are once choices without effect are left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from .structure import Shape

Chosen = tuple[str, ...]
"""Names of functions chosen on an edge, in spec order."""


@dataclass(frozen=True)
class FunctionFacts:
    """What a basis function says about itself, for all weights, inputs and shapes.

    `is_zero`: g(x; w) = 0. `keeps_zero`: g(0; w) = 0. `ignores_input`: neither g nor its weights depend on x or its
    shape. `kind` is the same text for functions of equal type and options, `share` the name of the weights that it has
    in common with others: with both equal, two functions of an edge are the same.
    """

    kind: str
    is_zero: bool = False
    keeps_zero: bool = False
    ignores_input: bool = False
    share: str | None = None


@dataclass(frozen=True)
class EdgeChoice:
    """The choice on one edge: `names` in spec order, `space` and the smallest size of a subset (for `any`).

    `sizes` holds the number of weights of every function for the shapes of the edge's ends, None for an end whose
    shape isn't a choice. A space built without them takes every function for one weight. `facts` are what the functions
    say about themselves; without them nothing is known about any, and all differ. `all_names` are those of all
    functions of the edge, where `names` are only those that are open.

    What is chosen is *reduced* to the functions that contribute: `zero` is left out, and of functions that are the same
    (`FunctionFacts`) the first by name are taken. Two vertices that are reduced to the same are one choice.
    """

    key: str
    names: tuple[str, ...]
    space: Literal["one", "any", "all"]
    smallest: int = 0
    sizes: Mapping[tuple[Shape | None, Shape | None], tuple[int, ...]] = field(
        default_factory=dict, hash=False, repr=False
    )
    facts: tuple[FunctionFacts, ...] = field(default=(), hash=False, repr=False)
    all_names: tuple[str, ...] = field(default=(), hash=False, repr=False)

    @property
    def whole(self) -> tuple[str, ...]:
        """All functions of the edge in spec order, those that aren't open too."""
        return self.all_names or self.names

    @cached_property
    def ends(self) -> tuple[str, str]:
        """The nodes that it leaves and enters."""
        source, _, target = self.key.partition("->")
        return source, target

    @cached_property
    def facts_by_name(self) -> dict[str, FunctionFacts]:
        """What every function says about itself."""
        facts = self.facts or tuple(FunctionFacts(name) for name in self.names)
        return dict(zip(self.names, facts, strict=True))

    @cached_property
    def zeros(self) -> Chosen:
        """The functions that are zero, by name."""
        return tuple(sorted(name for name, facts in self.facts_by_name.items() if facts.is_zero))

    @cached_property
    def same(self) -> tuple[Chosen, ...]:
        """The functions that aren't zero, those that are the same together and sorted by name."""
        groups: dict[FunctionFacts, list[str]] = {}
        for name, facts in self.facts_by_name.items():
            if not facts.is_zero:
                groups.setdefault(facts, []).append(name)
        return tuple(tuple(sorted(group)) for group in groups.values())

    @cached_property
    def _reduced_at_zero(self) -> dict[tuple[Chosen, bool], Chosen]:
        return {}

    def reduced(self, chosen: Sequence[str], source_is_zero: bool = False) -> Chosen:
        """The functions of a vertex that contribute; where the source node is always 0 none that keep zero."""
        known = self._reduced_at_zero
        place = (tuple(chosen), source_is_zero)
        if place not in known:
            kept: set[str] = set()
            for group in self.same:
                facts = self.facts_by_name[group[0]]
                if not (source_is_zero and facts.keeps_zero and not facts.ignores_input):
                    kept.update(group[: sum(name in chosen for name in group)])
            known[place] = tuple(name for name in self.names if name in kept)
        return known[place]

    def vertex_of(self, reduced: Chosen) -> Chosen:
        """How what is left of a vertex is written: as it is, but `zero` where nothing is left and can't be chosen."""
        can_be_empty = self.space == "any" and self.smallest == 0
        return reduced if reduced or can_be_empty else self.zeros[:1]

    def reads_source(self, reduced: Chosen) -> bool:
        """Whether any of these functions depends on the node that the edge leaves."""
        return any(not self.facts_by_name[name].ignores_input for name in reduced)

    def reduced_vertices(self) -> Iterator[Chosen]:
        """Everything that vertices can be reduced to, in a fixed order, where the source isn't always 0."""
        if self.space == "all":
            yield self.reduced(self.names)
        elif self.space == "one":
            yield from dict.fromkeys(self.reduced((name,)) for name in self.names)
        else:
            least = self.smallest - len(self.zeros)
            for numbers in itertools.product(*(range(len(group) + 1) for group in self.same)):
                if sum(numbers) >= least:
                    kept = {name for group, n in zip(self.same, numbers, strict=True) for name in group[:n]}
                    yield tuple(name for name in self.names if name in kept)

    @cached_property
    def reduced_count(self) -> int:
        """How many different choices there are, without listing them."""
        return self._count(self.same)

    @cached_property
    def unread_count(self) -> int:
        """How many of them don't depend on the node that the edge leaves."""
        if self.space == "all":
            return int(not self.reads_source(self.reduced(self.names)))
        return self._count([group for group in self.same if self.facts_by_name[group[0]].ignores_input])

    @cached_property
    def can_be_off(self) -> bool:
        """Whether nothing can be chosen, or only `zero`."""
        if self.space == "any":
            return self.smallest <= len(self.zeros)
        return bool(self.zeros) and (self.space == "one" or not self.same)

    def _count(self, groups: Sequence[Chosen]) -> int:
        """How many different choices there are among some groups of the same functions."""
        if self.space == "all":
            return 1
        if self.space == "one":
            return len(groups) + bool(self.zeros)
        least = self.smallest - len(self.zeros)
        if least <= 0:
            return math.prod(len(group) + 1 for group in groups)
        if all(len(group) == 1 for group in groups):
            return sum(math.comb(len(groups), size) for size in range(least, len(groups) + 1))
        by_size = [1]
        for group in groups:
            longer = [0] * (len(by_size) + len(group))
            for size, number in enumerate(by_size):
                for more in range(len(group) + 1):
                    longer[size + more] += number
            by_size = longer
        return sum(by_size[least:])

    def n_weights(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """The number of weights of every function, where nodes that choose their shape have these."""
        source, target = self.ends
        sizes = self.sizes.get((shapes.get(source), shapes.get(target)), (1,) * len(self.names))
        return dict(zip(self.names, sizes, strict=True))

    def restricted(self, open_names: Sequence[str]) -> EdgeChoice:
        """The choice among the open functions only."""
        kept = [index for index, name in enumerate(self.names) if name in open_names]
        sizes = {ends: tuple(values[index] for index in kept) for ends, values in self.sizes.items()}
        facts = tuple(self.facts[index] for index in kept) if self.facts else ()
        names = tuple(self.names[index] for index in kept)
        return replace(self, names=names, sizes=sizes, facts=facts, all_names=self.whole)

    def smallest_vertex(self, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
        """The vertex with the fewest weights; of equal ones the fewest functions, then `zero`, then by name."""
        if self.space == "all":
            return self.names
        sizes = self.n_weights(shapes)
        order = sorted(self.names, key=lambda name: (sizes[name], name not in self.zeros, name))
        chosen = order[: 1 if self.space == "one" else self.smallest]
        return tuple(name for name in self.names if name in chosen)

    def neighbours(self, chosen: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The vertices one step away: another function (`one`), or one function more or less (`any`).

        Of a subset `zero` is no part, unless it needs it to be large enough.
        """
        if self.space == "one":
            yield from ((name,) for name in self.names if name not in chosen)
        elif self.space == "any":
            before = [name for name in chosen if name not in self.zeros]
            for name in (name for name in self.names if name not in self.zeros):
                changed = [other for other in self.names if (other in before) != (other == name)]
                if len(changed) + len(self.zeros) >= self.smallest:
                    fill = self.zeros[: max(0, self.smallest - len(changed))]
                    yield tuple(other for other in self.names if other in (*changed, *fill))

    @property
    def most_neighbours(self) -> int:
        """The largest number of neighbours that a vertex can have."""
        if self.space == "one":
            return len(self.names) - 1
        return len(self.names) if self.space == "any" and self.smallest < len(self.names) else 0

    @property
    def most_to_close(self) -> int:
        """How many of its functions can be closed until no choice is left to close."""
        least = {"one": 1, "any": self.smallest, "all": len(self.names)}[self.space]
        return max(0, len(self.names) - least)

    def __contains__(self, chosen: object) -> bool:
        """Whether names are one of its vertices, in spec order."""
        if not isinstance(chosen, tuple) or tuple(name for name in self.names if name in chosen) != chosen:
            return False
        return len(chosen) in {"one": (1,), "all": (len(self.names),)}.get(
            self.space, range(self.smallest, len(self.names) + 1)
        )

    @property
    def count(self) -> int:
        """Number of vertices, without listing them."""
        n_names = len(self.names)
        if self.space == "all":
            return 1
        if self.space == "one":
            return n_names
        return sum(math.comb(n_names, size) for size in range(self.smallest, n_names + 1))

    def vertices(self) -> Iterator[tuple[str, ...]]:
        """Every choice, in a fixed order."""
        if self.space == "all":
            yield self.names
        elif self.space == "one":
            for name in self.names:
                yield (name,)
        else:
            for bits in itertools.product((False, True), repeat=len(self.names)):
                if sum(bits) >= self.smallest:
                    yield tuple(itertools.compress(self.names, bits))

    def round(self, weights: Sequence[float]) -> tuple[str, ...]:
        """The vertex nearest to probabilities of the functions: the largest for `one`, all above ½ for `any`.

        For `any`, the most probable functions are added until there are `smallest`.
        """
        order = sorted(range(len(self.names)), key=lambda index: (-weights[index], self.names[index]))
        if self.space == "all":
            return self.names
        if self.space == "one":
            return (self.names[order[0]],)
        size = max(self.smallest, sum(weight > 0.5 for weight in weights))
        return tuple(self.names[index] for index in sorted(order[:size]))
