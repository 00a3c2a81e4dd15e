"""The graph of a spec: order, shapes, names, and checks over all shapes a node can have."""

from __future__ import annotations

import itertools

import pytest

from structflow.errors import SpecError
from structflow.spec.build_graph import build_graph
from structflow.spec.validate import validate_data

from .examples import example


def spec_of(nodes, edges):
    spec, problems = validate_data(example(model={"nodes": nodes, "edges": edges}))
    assert spec is not None, problems
    return spec


def edge(source, to, *basis, **keys):
    return {"from": source, "to": to, "basis": list(basis) or ["linear"], **keys}


def problems(nodes, edges):
    with pytest.raises(SpecError) as raised:
        build_graph(spec_of(nodes, edges), (2,), (1,))
    return {problem.path: problem.message for problem in raised.value.problems}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_nodes_come_in_topological_order_with_x_first_and_y_last(order):
    hidden = {"k": {"shape": 3}, "h": {"shape": 2}}
    edges = [edge("x", "h"), edge("h", "k"), edge("k", "y"), edge("x", "y")]
    graph = build_graph(spec_of({"y": {}, **hidden, "x": {}}, [edges[i] for i in order]), (2,), (1,))
    assert graph.nodes == ("x", "h", "k", "y")
    assert [e.key for e in graph.edges] == [f"{edges[i]['from']}->{edges[i]['to']}" for i in order]


def test_names_are_the_users_or_the_plugins():
    functions = [{"type": "dense", "name": "mine"}, "dense", {"type": "dense", "rows": [0]}]
    graph = build_graph(spec_of({"x": {}, "y": {}}, [edge("x", "y", *functions)]), (2,), (1,))
    assert [function.name for function in graph.edges[0].functions] == ["mine", "dense:tanh", "dense:tanh[0]"]


def test_the_space_multiplies_edges_and_shapes():
    nodes = {"x": {}, "h": {"shape": {"choose": [2, 3, 4]}}, "y": {}}
    edges = [edge("x", "h", "linear", "dense", choose="any", min=1), edge("h", "y", "linear", "dense")]
    assert build_graph(spec_of(nodes, edges), (2,), (1,)).structure_space().count == 3 * 3 * 2


def test_a_shape_that_agrees_with_the_data_may_be_given():
    graph = build_graph(spec_of({"x": {"shape": 2}, "y": {"shape": [1]}}, [edge("x", "y")]), (2,), (1,))
    assert graph.shapes == {"x": ((2,),), "y": ((1,),)}


def test_the_input_is_seen_in_a_shape_of_as_many_numbers():
    edges = [edge("x", "h", "elementwise"), edge("x", "y", "zero"), edge("h", "y", "zero")]
    nodes = {"x": {"shape": [1, 2, 3]}, "h": {"shape": [1, 2, 3]}, "y": {}}
    assert build_graph(spec_of(nodes, edges), (6,), (1,)).shapes["x"] == ((1, 2, 3),)
    with pytest.raises(SpecError) as raised:
        build_graph(spec_of(nodes, edges), (5,), (1,))
    (problem,) = [problem for problem in raised.value.problems if problem.path == "model.nodes.x.shape"]
    assert problem.suggestion == "leave it out, or give a shape of 5 numbers"
    assert "got [1, 2, 3], but the data and the likelihood give x the shape [5]" in problem.message


def test_all_problems_come_together():
    found = problems(
        {"x": {}, "h": {}, "k": {"shape": [2, 2]}, "y": {"shape": 3}},
        [edge("x", "hh"), edge("h", "y", min=1), edge("x", "k", {"type": "linear", "name": "a->b"})],
    )
    assert set(found) == {
        "model.edges[0].to",
        "model.edges[1].min",
        "model.edges[2].basis[0].name",
        "model.edges[2].basis[0]",
        "model.nodes.h",
        "model.nodes.y.shape",
    }


def test_every_combination_of_shapes_must_fit():
    choice = {"shape": {"choose": [2, 3]}}
    edges = [edge("x", "h"), edge("h", "k", "identity"), edge("k", "y")]
    found = problems({"x": {}, "h": choice, "k": choice, "y": {}}, edges)
    assert list(found) == ["model.edges[1].basis[0]"]
    assert "from h [2] to k [3]" in found["model.edges[1].basis[0]"]


def shared(**keys):
    return {"type": "linear", "share": "w", **keys}


@pytest.mark.parametrize(
    ("nodes", "edges", "fits"),
    [
        ({"h": {"shape": 2}, "k": {"shape": 2}}, [edge("x", "h", shared()), edge("x", "k", shared())], True),
        ({"h": {"shape": 2}, "k": {"shape": 3}}, [edge("x", "h", shared()), edge("x", "k", shared())], False),
        ({"h": {"shape": 2}, "k": {"shape": 2}}, [edge("x", "h", shared()), edge("x", "k", shared(bias=False))], False),
        (
            {"h": {"shape": {"choose": [2, 3]}}, "k": {"shape": 2}},
            [edge("x", "h", shared()), edge("x", "k", shared())],
            False,
        ),
        (
            {"h": {"shape": {"choose": [2, 3]}}, "k": {"shape": 1}},
            [edge("x", "h", shared(), {"type": "dense", "share": "w"}), edge("x", "k")],
            True,
        ),
    ],
)
def test_shared_weights_have_one_shape_under_every_choice(nodes, edges, fits):
    edges = [*edges, edge("h", "y"), edge("k", "y")]
    spec = spec_of({"x": {}, **nodes, "y": {}}, edges)
    if fits:
        build_graph(spec, (2,), (1,))
    else:
        with pytest.raises(SpecError, match="share 'w' ties"):
            build_graph(spec, (2,), (1,))


def test_a_plugin_that_fails_is_named(monkeypatch):
    from structflow.plugins.registry import registry

    def broken(options, in_shape, out_shape):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(registry().get("basis_functions", "linear"), "weight_shapes", broken)
    found = problems({"x": {}, "y": {}}, [edge("x", "y")])
    assert "ZeroDivisionError" in found["model.edges[0].basis[0]"]


def test_a_cycle_away_from_x_is_shown():
    found = problems(
        {"x": {}, "a": {"shape": 1}, "b": {"shape": 1}, "c": {"shape": 1}, "y": {}},
        [edge("x", "y"), edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "y")],
    )
    assert list(found.values()) == ["the edges form a cycle: a -> b -> c -> a"]
