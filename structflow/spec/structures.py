"""Structures, and the space of all that a spec allows, counted symbolically and enumerated on demand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Structure:
    """One vertex: the functions chosen on every edge, and the shape of every node whose shape is a choice.

    `edges` holds (edge key, chosen names) in spec order, `shapes` (node, shape). Equality and hash ignore nothing.
    """

    edges: tuple[tuple[str, tuple[str, ...]], ...]
    shapes: tuple[tuple[str, Shape], ...] = ()

    def as_dict(self) -> dict[str, list[str] | list[int]]:
        """The form of the JSON outputs: {"x->h": ["dense:tanh"], "h": [20]}."""
        chosen: dict[str, list[str] | list[int]] = {edge: list(names) for edge, names in self.edges}
        chosen.update({node: list(shape) for node, shape in self.shapes})
        return chosen

    @cached_property
    def canonical(self) -> str:
        """Text that identifies it whatever the order of nodes, edges and candidates in the spec; breaks ties."""
        chosen = {edge: sorted(names) for edge, names in self.edges}
        return json.dumps({**chosen, **dict(self.shapes)}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, chosen: dict[str, list[str] | list[int]]) -> Structure:
        """The inverse of `as_dict`: edges have `->` in their key."""
        edges = tuple((key, tuple(map(str, value))) for key, value in chosen.items() if "->" in key)
        shapes = tuple((key, tuple(map(int, value))) for key, value in chosen.items() if "->" not in key)
        return cls(edges, shapes)


@dataclass(frozen=True)
class EdgeChoice:
    """The choice on one edge: `names` in spec order, `space` and the smallest size of a subset (for `any`)."""

    key: str
    names: tuple[str, ...]
    space: Literal["one", "any", "all"]
    smallest: int = 0

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


@dataclass(frozen=True)
class StructureSpace:
    """All structures of a spec: the product of the edges' choices and of the nodes' shapes."""

    edges: tuple[EdgeChoice, ...]
    shapes: tuple[tuple[str, tuple[Shape, ...]], ...] = ()

    @property
    def count(self) -> int:
        """Number of structures; exact for any size, in no time."""
        return math.prod(edge.count for edge in self.edges) * math.prod(len(options) for _, options in self.shapes)

    def shape_assignments(self) -> Iterator[tuple[tuple[str, Shape], ...]]:
        """Every assignment of shapes to the nodes that choose theirs."""
        nodes = [node for node, _ in self.shapes]
        for shapes in itertools.product(*(options for _, options in self.shapes)):
            yield tuple(zip(nodes, shapes, strict=True))

    def __iter__(self) -> Iterator[Structure]:
        """Every structure: shapes outermost, the last edge fastest."""
        for shapes in self.shape_assignments():
            for chosen in lazy_product(self.edges):
                yield Structure(chosen, shapes)

    def round(self, weights: Sequence[Sequence[float]]) -> Structure:
        """The structure nearest to probabilities, one sequence an edge; for spaces without a choice of shapes."""
        return Structure(
            tuple((edge.key, edge.round(values)) for edge, values in zip(self.edges, weights, strict=True))
        )


def shown_count(count: int) -> str:
    """A number of structures for people: exact as far as one reads digits, else its order of magnitude."""
    return f"{count:,}" if count < 10**15 else f"about 10^{int(math.log10(count))}"


def lazy_product(edges: Sequence[EdgeChoice]) -> Iterator[tuple[tuple[str, tuple[str, ...]], ...]]:
    """Every combination of the edges' choices, the last edge fastest.

    `itertools.product` would first list the choices of each edge, 2^40 of them for 40 functions.
    """
    chosen: list[tuple[str, tuple[str, ...]]] = []
    choices = [edges[0].vertices()] if edges else []
    if not edges:
        yield ()
    while choices:
        del chosen[len(choices) - 1 :]
        vertex = next(choices[-1], None)
        if vertex is None:
            choices.pop()
            continue
        chosen.append((edges[len(choices) - 1].key, vertex))
        if len(choices) < len(edges):
            choices.append(edges[len(choices)].vertices())
        else:
            yield tuple(chosen)
