"""Structures, and the space of all that a spec allows, counted symbolically and enumerated on demand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class OpenSet:
    """The functions that may still be chosen: (edge key, names) of every edge, both in spec order."""

    edges: tuple[tuple[str, tuple[str, ...]], ...]

    def as_dict(self) -> dict[str, list[str]]:
        """The form of the JSON outputs: {"x->h": ["dense:tanh", "dense:relu"]}."""
        return {edge: list(names) for edge, names in self.edges}

    @cached_property
    def canonical(self) -> str:
        """Text that identifies it whatever the order of edges and functions in the spec."""
        chosen = {edge: sorted(names) for edge, names in self.edges}
        return json.dumps(chosen, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, names: Mapping[str, Sequence[str]]) -> OpenSet:
        """The inverse of `as_dict`."""
        return cls(tuple((key, tuple(map(str, value))) for key, value in names.items()))


@dataclass(frozen=True)
class EdgeChoice:
    """The choice on one edge: `names` in spec order, `space` and the smallest size of a subset (for `any`).

    `sizes` holds the number of weights of every function for the shapes of the edge's ends, None for an end whose
    shape isn't a choice. A space built without them takes every function for one weight.
    """

    key: str
    names: tuple[str, ...]
    space: Literal["one", "any", "all"]
    smallest: int = 0
    sizes: Mapping[tuple[Shape | None, Shape | None], tuple[int, ...]] = field(
        default_factory=dict, hash=False, repr=False
    )

    @property
    def ends(self) -> tuple[str, str]:
        """The nodes that it leaves and enters."""
        source, _, target = self.key.partition("->")
        return source, target

    def n_weights(self, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """The number of weights of every function, where nodes that choose their shape have these."""
        source, target = self.ends
        sizes = self.sizes.get((shapes.get(source), shapes.get(target)), (1,) * len(self.names))
        return dict(zip(self.names, sizes, strict=True))

    def restricted(self, open_names: Sequence[str]) -> EdgeChoice:
        """The choice among the open functions only."""
        kept = [index for index, name in enumerate(self.names) if name in open_names]
        sizes = {ends: tuple(values[index] for index in kept) for ends, values in self.sizes.items()}
        return replace(self, names=tuple(self.names[index] for index in kept), sizes=sizes)

    def smallest_vertex(self, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
        """The vertex with the fewest weights; of equal ones that with the fewest functions, then the first by name."""
        if self.space == "all":
            return self.names
        sizes = self.n_weights(shapes)
        order = sorted(self.names, key=lambda name: (sizes[name], name))
        chosen = order[: 1 if self.space == "one" else self.smallest]
        return tuple(name for name in self.names if name in chosen)

    def neighbours(self, chosen: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The vertices one step away: another function (`one`), or one function more or less (`any`)."""
        if self.space == "one":
            yield from ((name,) for name in self.names if name not in chosen)
        elif self.space == "any":
            for name in self.names:
                changed = tuple(other for other in self.names if (other in chosen) != (other == name))
                if len(changed) >= self.smallest:
                    yield changed

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

    def __contains__(self, structure: object) -> bool:
        """Whether something is one of its structures, without listing them."""
        return (
            isinstance(structure, Structure)
            and [key for key, _ in structure.edges] == [edge.key for edge in self.edges]
            and all(chosen in edge for edge, (_, chosen) in zip(self.edges, structure.edges, strict=True))
            and [node for node, _ in structure.shapes] == [node for node, _ in self.shapes]
            and all(shape in options for (_, options), (_, shape) in zip(self.shapes, structure.shapes, strict=True))
        )

    @property
    def open_set(self) -> OpenSet:
        """All of its functions."""
        return OpenSet(tuple((edge.key, edge.names) for edge in self.edges))

    def restricted(self, to: OpenSet) -> StructureSpace:
        """The space of the structures whose functions are all open; edges that the open set doesn't name stay."""
        names = dict(to.edges)
        return replace(self, edges=tuple(edge.restricted(names.get(edge.key, edge.names)) for edge in self.edges))

    def n_weights(self, structure: Structure) -> int:
        """Weights of a structure; those that functions share count once for every function."""
        shapes, chosen = dict(structure.shapes), dict(structure.edges)
        sizes = {edge.key: edge.n_weights(shapes) for edge in self.edges}
        return sum(sizes[key][name] for key, names in chosen.items() for name in names)

    @property
    def simplest(self) -> Structure:
        """The structure with the fewest weights; equal ones by canonical order."""
        found = (
            Structure(tuple((edge.key, edge.smallest_vertex(dict(shapes))) for edge in self.edges), shapes)
            for shapes in self.shape_assignments()
        )
        return min(found, key=lambda structure: (self.n_weights(structure), structure.canonical))

    def neighbours(self, structure: Structure) -> Iterator[Structure]:
        """Structures one step away: one edge's choice changed, or one node's shape to the next smaller or larger."""
        for index, edge in enumerate(self.edges):
            before, (key, chosen), after = (
                structure.edges[:index],
                structure.edges[index],
                structure.edges[index + 1 :],
            )
            for changed in edge.neighbours(chosen):
                yield Structure((*before, (key, changed), *after), structure.shapes)
        for index, (node, shape) in enumerate(structure.shapes):
            ordered = sorted(dict(self.shapes)[node], key=lambda option: (math.prod(option), option))
            place = ordered.index(shape)
            for other in ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]:
                shapes = (*structure.shapes[:index], (node, other), *structure.shapes[index + 1 :])
                yield Structure(structure.edges, shapes)

    @property
    def most_neighbours(self) -> int:
        """An upper bound on the neighbours of a structure."""
        steps = sum(min(2, len(options) - 1) for _, options in self.shapes)
        return sum(edge.most_neighbours for edge in self.edges) + steps

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
