"""One structure, and a set of functions that may be chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
