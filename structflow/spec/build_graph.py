"""The graph of a spec for data of given shapes, or all the problems it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import PluginError, Problem, SpecError
from ..plugins import BasisFunction, Shape
from ..plugins.calling import Calling, broken_contract
from ..plugins.registry import registry
from .graph import INPUT, OUTPUT, Graph, GraphEdge, GraphFunction
from .models import Edge, Model, Node, Spec
from .shape_checks import shape_problems
from .topology import topological_order, topology_problems

MAX_NAME = 64


def build_graph(spec: Spec, input_shape: Shape, output_shape: Shape) -> Graph:
    """The graph; raises `SpecError` with every problem."""
    graph, problems = check_graph(spec, {INPUT: input_shape, OUTPUT: output_shape})
    if graph is None:
        raise SpecError(problems)
    return graph


def check_graph(spec: Spec, data_shapes: Mapping[str, Shape]) -> tuple[Graph | None, list[Problem]]:
    """The graph, or None and its problems.

    `data_shapes` are those of `x` and `y`; where one is missing, what needs it isn't checked.
    """
    model = spec.model
    edges, problems = graph_edges(model)
    problems = topology_problems(model) + problems
    shapes: dict[str, tuple[Shape, ...]] = {}
    for name, node in model.nodes.items():
        if name in (INPUT, OUTPUT):
            if name in data_shapes:
                problems += contradictions(name, node, data_shapes[name])
                shapes[name] = (seen_shape(name, node, data_shapes[name]),)
        else:
            problems += hidden_shape_problems(name, node)
            if node.shapes():
                shapes[name] = node.shapes()
    problems += shape_problems(edges, shapes)
    if problems or set(shapes) != set(model.nodes):
        return None, problems
    order = topological_order(model)
    graph = Graph(tuple(order), {node: shapes[node] for node in order}, edges)
    if graph.structure_space().count == 0:
        return None, [Problem("model", "the spec allows no structure at all", "lower `min` or add basis functions")]
    return graph, []


def seen_shape(name: str, node: Node, shape: Shape) -> Shape:
    """The shape of the input or output node: the data's, or for the input the spec's own of equally many numbers."""
    given = node.shapes()
    if name == INPUT and len(given) == 1 and math.prod(given[0]) == math.prod(shape):
        return given[0]
    return shape


def contradictions(name: str, node: Node, shape: Shape) -> list[Problem]:
    """A problem if the spec gives the input or output a shape that the data can't have."""
    place = f"model.nodes.{name}.shape"
    if node.is_choice:
        return [Problem(f"{place}.choose", f"the data decide the shape of {name}, {list(shape)}", "leave it out")]
    if node.shapes() and node.shapes() != (seen_shape(name, node, shape),):
        message = f"got {list(node.shapes()[0])}, but the data and the likelihood give {name} the shape {list(shape)}"
        remedy = f"leave it out, or give a shape of {math.prod(shape)} numbers" if name == INPUT else "leave it out"
        return [Problem(place, message, remedy)]
    return []


def hidden_shape_problems(name: str, node: Node) -> list[Problem]:
    """What is wrong with the shape of a node that isn't x or y."""
    place = f"model.nodes.{name}"
    shapes = node.shapes()
    if not shapes:
        return [Problem(place, f"node {name!r} has no shape", "add `shape: [10]`, or another number of units")]
    repeated = [shape for index, shape in enumerate(shapes) if shape in shapes[:index]]
    return [
        Problem(f"{place}.shape.choose", f"shape {list(shape)} is listed twice", "list every shape once")
        for shape in dict.fromkeys(repeated)
    ]


def graph_edges(model: Model) -> tuple[tuple[GraphEdge, ...], list[Problem]]:
    """The edges with the names of their functions, and the problems these and the choices have."""
    edges, problems = [], []
    for index, edge in enumerate(model.edges):
        place = f"model.edges[{index}]"
        functions = []
        for position, options in enumerate(edge.basis):
            plugin = registry().get("basis_functions", options.type)
            name, unfit = function_name(f"{place}.basis[{position}]", plugin, options)
            functions.append(GraphFunction(name, plugin, options))
            problems += unfit + broken_promises(f"{place}.basis[{position}]", functions[-1])
        edges.append(GraphEdge(edge.source, edge.to, edge.space, edge.min, tuple(functions)))
        problems += choice_problems(place, edge) + repeated_names(place, [function.name for function in functions])
    return tuple(edges), problems


def function_name(place: str, plugin: type[BasisFunction], options: Any) -> tuple[str, list[Problem]]:
    """The name of a function on its edge, and what is wrong with it."""
    where = place if options.name is None else f"{place}.name"
    try:
        name = options.name if options.name is not None else label_of(plugin, options)
    except PluginError as error:
        return plugin.type, [Problem(place, f"{plugin.type} has no label: {error}", "give it a `name`")]
    if not name or len(name) > MAX_NAME or "->" in name or not name.isprintable() or name != name.strip():
        message = f"got {name[:MAX_NAME]!r}; a name has 1 to {MAX_NAME} printable characters and no '->'"
        return name, [Problem(where, message, "give it a shorter, plainer `name`")]
    return name, []


def broken_promises(place: str, function: GraphFunction) -> list[Problem]:
    """A problem if a function can't say what is true of all its values."""
    try:
        _ = function.facts
    except PluginError as error:
        return [Problem(place, str(error), "fix the plugin, or remove the function")]
    return []


def label_of(plugin: type[BasisFunction], options: Any) -> str:
    """The name that a function gives itself; raises `PluginError` where that isn't one."""
    with Calling(plugin, "label"):
        label: Any = plugin.label(options)
    if not isinstance(label, str):
        raise broken_contract(plugin, "label", repr(label), "a string")
    return label


def choice_problems(place: str, edge: Edge) -> list[Problem]:
    """What is wrong with `choose` and `min`."""
    if edge.min == 0:
        return []
    if edge.space != "any":
        message = f"got {edge.min}, but the edge chooses {edge.space}"
        return [Problem(f"{place}.min", message, "set `choose: any`, or leave `min` out")]
    if edge.min > len(edge.basis):
        message = f"got {edge.min}, but the edge has {len(edge.basis)} basis functions"
        return [Problem(f"{place}.min", message, "lower `min` or add basis functions")]
    return []


def repeated_names(place: str, names: Sequence[str]) -> list[Problem]:
    """A problem for every name that an earlier function of the edge has, or nearly has."""
    problems = []
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        earlier = first.setdefault(name.lower(), index)
        if earlier != index:
            same = "is also called" if names[earlier] == name else "is called, but for the case of letters,"
            message = f"basis[{earlier}] {same} {name!r}"
            problems.append(Problem(f"{place}.basis[{index}]", message, "give one of them another `name`"))
    return problems
