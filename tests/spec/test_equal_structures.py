"""Structures that are the same function count once: against an interpreter of networks and a loop over everything.

`value_of` computes a network in plain numpy, with weights that depend on the edge and the function alone. Two
structures are the same function if it gives the same for random weights and inputs; nodes that change places take
their weights with them.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from handmade import edge, fn, graph
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.spec.class_prior import ClassPrior
from structflow.spec.graph import Graph
from structflow.spec.structures import EdgeChoice, OpenSet, Structure, StructureSpace

X = np.random.default_rng(3).normal(size=(4, 2))
"""Inputs of two columns; every other node of a drawn graph has one or two units."""

FUNCTIONS = {
    "zero": lambda name: fn("zero", name=name),
    "linear": lambda name: fn("linear", bias=False, name=name),
    "tanh": lambda name: fn("dense", activation="tanh", bias=False, name=name),
    "affine": lambda name: fn("linear", name=name),
    "constant": lambda name: fn("constant", name=name),
}
KEEP_ZERO = ("linear", "tanh")


def weights_of(key: tuple[str, str], kind: str, copy: int, shape: tuple[int, ...]) -> np.ndarray:
    """Fixed random numbers for the `copy`-th of the functions of a kind that are chosen on an edge."""
    seed = random.Random(repr((key, kind, copy, shape))).getrandbits(32)
    return np.random.default_rng(seed).normal(size=shape)


def value_of(of: Graph, structure: Structure, places: dict[str, str] | None = None) -> np.ndarray | None:
    """The output, where node n has the weights that belong to node places[n]; None where that can't be."""
    places = places or {}
    shapes = of.node_shapes(dict(structure.shapes))
    chosen = dict(structure.edges)
    keys = {e.key for e in of.edges}
    values = {"x": X}
    for node in of.nodes[1:]:
        total = np.zeros((len(X), *shapes[node]))
        for _, each in of.edges_into(node):
            ends = places.get(each.source, each.source), places.get(node, node)
            if f"{ends[0]}->{ends[1]}" not in keys:
                return None
            counts: Counter[str] = Counter()
            for name in sorted(chosen[each.key]):
                kind = name.rstrip("'")
                counts[kind] += 1
                source = values[each.source]
                weight = weights_of(ends, kind, counts[kind], (source.shape[1], *shapes[node]))
                bias = weights_of(ends, f"{kind} bias", counts[kind], shapes[node])
                if kind == "constant":
                    total += bias
                elif kind != "zero":
                    inside = source @ weight + (bias if kind == "affine" else 0.0)
                    total += np.tanh(inside) if kind == "tanh" else inside
        values[node] = total
    return values["y"]


def combinations(space: StructureSpace) -> list[Structure]:
    """Everything that can be chosen, equal or not."""
    return [
        Structure(tuple(zip((e.key for e in space.edges), chosen, strict=True)), shapes)
        for shapes in space.shape_assignments()
        for chosen in itertools.product(*(list(e.vertices()) for e in space.edges))
    ]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """x, one to three hidden nodes and y, with edges of up to three functions, some of which are the same."""
    hidden = [f"h{number}" for number in range(1, draw(st.integers(1, 3)) + 1)]
    nodes = ["x", *hidden, "y"]
    shapes = {"x": [(2,)], "y": [(1,)], **{h: draw(st.sampled_from([[(1,)], [(1,)], [(1,), (2,)]])) for h in hidden}}
    pairs = [(s, t) for s, t in itertools.combinations(nodes, 2) if draw(st.integers(0, 3)) or t == "y" or s == "x"]
    if draw(st.booleans()):  # nodes that may be interchangeable: the same edges for all of them
        kinds = {0: draw(kinds_of_edge()), 1: draw(kinds_of_edge())}
        pairs = [(s, t) for s, t in pairs if not (s in hidden and t in hidden)]
        shapes.update(dict.fromkeys(hidden, shapes["h1"]))
    else:
        kinds = None
    edges = []
    for source, target in pairs:
        names, space, smallest = draw(kinds_of_edge()) if kinds is None else kinds[target == "y"]
        functions = [FUNCTIONS[name.rstrip("'")](name) for name in names]
        edges.append(edge(source, target, space, *functions, smallest=smallest))
    return Graph(tuple(nodes), {node: tuple(options) for node, options in shapes.items()}, tuple(edges))


@st.composite
def kinds_of_edge(draw: st.DrawFn) -> tuple[list[str], str, int]:
    names = draw(st.lists(st.sampled_from([*FUNCTIONS, "linear'", "zero"]), min_size=1, max_size=3, unique=True))
    space = draw(st.sampled_from(["one", "one", "any", "all"]))
    return names, space, draw(st.integers(0, 1)) if space == "any" else 0


def edges_of(structure: Structure) -> list[tuple[str, ...]]:
    return [names for _, names in structure.edges]


def check_classes(of: Graph) -> None:
    """Everything this file promises, of one graph."""
    space = of.structure_space()
    everything = combinations(space)
    assert len(everything) == space.n_combinations
    classes: dict[Structure, list[Structure]] = defaultdict(list)
    for structure in everything:
        classes[space.canonical_form(structure)].append(structure)
    listed = list(space)
    assert len(listed) == len(set(listed)) == space.count == len(classes)
    assert space.count_is_exact
    assert set(listed) == set(classes)
    hidden = of.nodes[1:-1]
    orders = [dict(zip(hidden, order, strict=True)) for order in itertools.permutations(hidden)]
    form_of: dict[object, Structure] = {}
    prior = ClassPrior(space, {e.key: [-math.log(len(e.names)) * (e.space == "one")] * len(e.names) for e in space.edges})
    for form, members in classes.items():
        assert space.canonical_form(form) == form
        assert Structure.from_dict(form.as_dict()) == form
        value = value_of(of, form)
        for member in members:
            same = (value_of(of, member, order) for order in orders)
            assert any(each is not None and np.allclose(each, value, atol=1e-9) for each in same), (form, member)
            # g(0; w) of an affine g doesn't depend on the number of zeros it is fed, but it has no way to say so
            at_zero = {node: shape for node, shape in form.shapes if node in space.graph.reduce(edges_of(form)).zeros}
            key = (np.round(value_of(of, member), 6).tobytes(), tuple(at_zero.items()))
            assert form_of.setdefault(key, form) == form  # equal values, equal structures
        by_counting = math.log(len(members) / len(everything))
        assert prior.log_probability(form) == pytest.approx(by_counting, abs=1e-9)
    reached, waiting = {space.simplest}, [space.simplest]
    while waiting:
        form = waiting.pop()
        near = list(space.neighbours(form))
        assert form not in near
        assert len(near) == len(set(near)) <= space.most_neighbours
        assert set(near) <= set(classes)
        waiting += [each for each in near if each not in reached]
        reached.update(near)
    assert reached == set(classes)  # step by step from the simplest one


@given(graphs())
@settings(max_examples=25, deadline=None)
def test_equal_functions_are_one_structure_and_different_ones_are_not(of):
    if of.structure_space().n_combinations <= 2000:
        check_classes(of)
