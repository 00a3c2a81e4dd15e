"""The part of the space that a regime searches: the key `regime.open`, and what a relaxed search can't do."""

from __future__ import annotations

from typing import Any

from ..errors import Problem
from .structures import EdgeChoice, OpenSet, StructureSpace


def open_set(space: StructureSpace, options: Any) -> OpenSet | None:
    """What the options of a regime leave open, by edge in spec order; None where that is everything."""
    restricted = space.restricted(OpenSet.from_dict(options.open))
    return None if restricted.open_set == space.open_set else restricted.open_set


def searched_space(space: StructureSpace, options: Any) -> StructureSpace:
    """The structures that the options of a regime let it choose among."""
    left = open_set(space, options)
    return space if left is None else space.restricted(left)


def open_problems(spec: Any, space: StructureSpace) -> list[Problem]:
    """What is wrong with `regime.open`: names that don't exist, or edges on which nothing can be chosen any more."""
    problems = []
    numbers = {edge.key: index for index, edge in enumerate(space.edges)}
    for key, names in spec.regime.open.items():
        place = f"regime.open.{key}"
        if key not in numbers:
            remedy = f"the edges are {', '.join(numbers)}"
            problems.append(Problem(place, f"model.edges has no edge {key!r}", remedy))
            continue
        edge, where = space.edges[numbers[key]], f"model.edges[{numbers[key]}]"
        unknown = [name for name in names if name not in edge.names]
        if unknown:
            message = f"{where}.basis has no function {', '.join(map(repr, unknown))}"
            problems.append(Problem(place, message, f"its functions are {', '.join(edge.names)}"))
        else:
            problems += closed_problems(place, where, edge, len(set(names)))
    return problems


def closed_problems(place: str, where: str, edge: EdgeChoice, left: int) -> list[Problem]:
    """A problem if `left` open functions of an edge are too few to choose from."""
    if edge.space == "all" and left < len(edge.names):
        message = f"{where}.choose is all, which takes all {len(edge.names)} functions; {left} are open"
        return [Problem(place, message, "take the function away from the edge, or let the edge choose")]
    if edge.space == "one" and left == 0:
        return [Problem(place, f"{where}.choose is one, but no function is open", "leave at least one open")]
    if edge.space == "any" and left < edge.smallest:
        message = f"{where}.min is {edge.smallest}, but {left} functions are open"
        return [Problem(place, message, "leave more of them open, or lower `min`")]
    return []


def shape_choice_problems(space: StructureSpace, what: str) -> list[Problem]:
    """A problem for every node that chooses its shape; `what` names the regime that relaxes, for the message."""
    return [
        Problem(
            f"model.nodes.{node}.shape.choose",
            f"{what} relaxes the choice of functions, but {node} chooses among {len(options)} shapes",
            "give the node one shape or set regime to enumeration",
        )
        for node, options in space.shapes
    ]
