"""Checks of a spec's nodes and edges that need no shapes: names, cycles, paths from the input to the output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..data.nearest import did_you_mean
from ..errors import Problem
from .graph import INPUT, OUTPUT
from .models import Edge, Model


def topology_problems(model: Model) -> list[Problem]:
    """Everything wrong with the names and the connections."""
    problems = names_differ_in_case(model.nodes, "model.nodes.")
    for node, role in ((INPUT, "input"), (OUTPUT, "output")):
        if node not in model.nodes:
            problems.append(Problem("model.nodes", f"there is no node {node!r}, the {role}", f"add `{node}: {{}}`"))
    for index, edge in enumerate(model.edges):
        problems += edge_problems(model, index, edge)
    problems += parallel_edges(model.edges)
    if problems:
        return problems
    cycle = find_cycle(model)
    if cycle:
        closing = next(
            index for index, edge in enumerate(model.edges) if (edge.source, edge.to) == (cycle[-2], cycle[-1])
        )
        remedy = "remove or turn round one of its edges"
        return [Problem(f"model.edges[{closing}]", f"the edges form a cycle: {' -> '.join(cycle)}", remedy)]
    return dead_nodes(model)


def edge_problems(model: Model, index: int, edge: Edge) -> list[Problem]:
    """What is wrong with the ends of one edge."""
    place = f"model.edges[{index}]"
    problems = [
        Problem(f"{place}.{key}", f"there is no node {node!r}", nearest_node(node, model))
        for key, node in (("from", edge.source), ("to", edge.to))
        if node not in model.nodes and node not in (INPUT, OUTPUT)
    ]
    if edge.source == edge.to:
        problems.append(Problem(place, f"the edge leads from {edge.to!r} to itself", "connect two different nodes"))
    elif edge.to == INPUT:
        problems.append(Problem(f"{place}.to", "the edge leads into x, the input", "edges lead away from x"))
    elif edge.source == OUTPUT:
        problems.append(Problem(f"{place}.from", "the edge leads out of y, the output", "edges lead towards y"))
    return problems


def nearest_node(name: str, model: Model) -> str | None:
    """What to say about an unknown node; large graphs are searched in part only, for the sake of time."""
    return did_you_mean(name, list(model.nodes)[:100], "add it to model.nodes")


def parallel_edges(edges: Iterable[Edge]) -> list[Problem]:
    """A problem for every edge between nodes that an earlier one connects."""
    problems = []
    first: dict[str, int] = {}
    for index, edge in enumerate(edges):
        earlier = first.setdefault(edge.key, index)
        if earlier != index:
            message = f"{edge.source} -> {edge.to} is model.edges[{earlier}] already"
            remedy = "put the basis functions of both into one edge"
            problems.append(Problem(f"model.edges[{index}]", message, remedy))
    return problems


def names_differ_in_case(names: Iterable[str], prefix: str) -> list[Problem]:
    """A problem for every name that another one differs from in the case of letters only."""
    problems = []
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            message = f"{name!r} differs from {other!r} only in the case of letters"
            problems.append(Problem(f"{prefix}{name}", message, "give one of them another name"))
    return problems


def topological_order(model: Model) -> list[str]:
    """The nodes such that every edge leads forward; as near to the order of the spec as that allows.

    Nodes on a cycle, and those behind one, are left out.
    """
    open_inputs = dict.fromkeys(model.nodes, 0)
    for edge in model.edges:
        open_inputs[edge.to] += 1
    targets = neighbours(model.edges)
    order: list[str] = []
    waiting = [INPUT, *(node for node in model.nodes if node not in (INPUT, OUTPUT)), OUTPUT]
    while ready := [node for node in waiting if open_inputs[node] == 0]:
        order += ready
        waiting = [node for node in waiting if open_inputs[node] > 0]
        for node in ready:
            for target in targets.get(node, ()):
                open_inputs[target] -= 1
    return order


def neighbours(edges: Iterable[Edge], backwards: bool = False) -> dict[str, list[str]]:
    """The nodes that the edges of each node lead to, or come from."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        start, end = (edge.to, edge.source) if backwards else (edge.source, edge.to)
        found.setdefault(start, []).append(end)
    return found


def find_cycle(model: Model) -> list[str]:
    """The nodes of one cycle, the first repeated at the end; empty if there is none."""
    remaining = set(model.nodes) - set(topological_order(model))
    if not remaining:
        return []
    sources = neighbours(model.edges, backwards=True)
    path = [next(node for node in model.nodes if node in remaining)]
    while path.count(path[-1]) == 1:  # every remaining node has a remaining source, so this walks into a cycle
        path.append(next(node for node in sources[path[-1]] if node in remaining))
    return list(reversed(path[path.index(path[-1]) :]))


def reachable(start: str, edges: Mapping[str, Collection[str]]) -> set[str]:
    """The nodes that can be reached, the start included."""
    found, waiting = {start}, [start]
    while waiting:
        for node in edges.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found


def dead_nodes(model: Model) -> list[Problem]:
    """Problems if no path leads from x to y, or for the nodes that are on none."""
    from_input = reachable(INPUT, neighbours(model.edges))
    to_output = reachable(OUTPUT, neighbours(model.edges, backwards=True))
    if OUTPUT not in from_input:
        return [Problem("model.edges", "no path of edges leads from x to y", "connect them")]
    return [
        Problem(
            f"model.nodes.{node}",
            f"node {node!r} is on no path from x to y: "
            + ("nothing leads into it" if node not in from_input else "it leads nowhere"),
            "connect it or remove it",
        )
        for node in model.nodes
        if node not in from_input & to_output
    ]
