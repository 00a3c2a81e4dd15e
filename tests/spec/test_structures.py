"""Structures and their spaces against brute force."""

from __future__ import annotations

import itertools
import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.spec.structures import EdgeChoice, Structure, StructureSpace, shown_count

NAMES = ("a", "b", "c", "d")


@st.composite
def edge_choices(draw, key="x->y"):
    names = tuple(draw(st.permutations(NAMES[: draw(st.integers(1, 4))])))
    space = draw(st.sampled_from(["one", "any", "all"]))
    return EdgeChoice(key, names, space, draw(st.integers(0, 5)) if space == "any" else 0)


@st.composite
def spaces(draw):
    edges = tuple(draw(edge_choices(f"n{index}->n{index + 1}")) for index in range(draw(st.integers(0, 3))))
    shapes = tuple(
        (f"n{index}", tuple((size,) for size in range(1, draw(st.integers(2, 4)))))
        for index in range(draw(st.integers(0, 2)))
    )
    return StructureSpace(edges, shapes)


def brute_force(edge: EdgeChoice) -> set[tuple[str, ...]]:
    subsets = [c for size in range(len(edge.names) + 1) for c in itertools.combinations(edge.names, size)]
    if edge.space == "one":
        return {subset for subset in subsets if len(subset) == 1}
    if edge.space == "all":
        return {edge.names}
    return {subset for subset in subsets if len(subset) >= edge.smallest}


@given(edge_choices())
def test_vertices_and_count_of_an_edge(edge):
    vertices = list(edge.vertices())
    assert len(vertices) == len(set(vertices)) == edge.count
    assert set(vertices) == brute_force(edge)


def with_effect(space: StructureSpace, chosen: tuple) -> tuple:
    """What the last node of a chain of edges depends on: nothing before an edge on which nothing is chosen."""
    n_edges = len(space.edges)
    cut = max((number for number in range(n_edges) if chosen[number] == ()), default=-1)
    shapes = zip((int(node[1:]) for node, _ in space.shapes), chosen[n_edges:], strict=True)
    return chosen[max(0, cut) : n_edges], tuple(shape if node > cut else None for node, shape in shapes)


@given(spaces())
@settings(max_examples=30, deadline=None)
def test_structures_and_count_of_a_space(space):
    structures = list(space)
    assert len(structures) == len({structure.canonical for structure in structures}) == space.count
    combinations = itertools.product(*map(brute_force, space.edges), *(shapes for _, shapes in space.shapes))
    assert len(structures) == len({with_effect(space, chosen) for chosen in combinations})
    for structure in structures:
        assert Structure.from_dict(structure.as_dict()) == structure
        assert Structure.from_dict(json.loads(json.dumps(structure.as_dict()))) == structure


def test_the_last_edge_changes_fastest_and_shapes_slowest():
    edges = (EdgeChoice("x->h", ("a", "b"), "one"), EdgeChoice("h->y", ("c", "d"), "one"))
    space = StructureSpace(edges, (("h", ((1,), (2,))),))
    chosen = [(dict(s.shapes)["h"], *(names[0] for _, names in s.edges)) for s in space]
    assert chosen == [((size,), first, last) for size in (1, 2) for first in "ab" for last in "cd"]


@given(spaces(), st.randoms())
def test_canonical_ignores_the_order_in_the_spec(space, random):
    def shuffled(items):
        listed = list(items)
        random.shuffle(listed)
        return tuple(listed)

    other = StructureSpace(
        shuffled(EdgeChoice(e.key, shuffled(e.names), e.space, e.smallest) for e in space.edges), shuffled(space.shapes)
    )
    assert {structure.canonical for structure in space} == {structure.canonical for structure in other}


@given(edge_choices(), st.data())
def test_rounding_gives_the_nearest_vertex(edge, data):
    weights = data.draw(st.lists(st.floats(0, 1), min_size=len(edge.names), max_size=len(edge.names)))
    rounded = edge.round(weights)
    if edge.smallest > len(edge.names):
        return
    assert rounded in brute_force(edge)
    of = dict(zip(edge.names, weights, strict=True))

    def log_like(vertex):
        return sum(of[n] - 0.5 for n in vertex) if edge.space == "any" else sum(of[n] for n in vertex)

    assert log_like(rounded) == pytest.approx(max(log_like(vertex) for vertex in brute_force(edge)))


@given(edge_choices(), st.data())
def test_rounding_does_not_depend_on_the_order_of_candidates(edge, data):
    weights = data.draw(st.lists(st.sampled_from([0.2, 0.5, 0.8]), min_size=len(edge.names), max_size=len(edge.names)))
    order = data.draw(st.permutations(range(len(edge.names))))
    other = EdgeChoice(edge.key, tuple(edge.names[i] for i in order), edge.space, edge.smallest)
    assert set(edge.round(weights)) == set(other.round([weights[i] for i in order]))


def test_a_huge_space_is_counted_and_started_at_once():
    start = time.process_time()
    edges = tuple(EdgeChoice(f"n{i}->n{i + 1}", tuple(f"f{j}" for j in range(40)), "any") for i in range(3))
    space = StructureSpace(edges)
    some, every = 2**40 - 1, 2**40  # choices with an effect on the next node, and all
    assert space.count == 1 + some * (1 + some * every)
    assert space.count_is_exact
    assert space.n_combinations == 2**120
    first = next(iter(space))
    assert first.as_dict() == {edge.key: [] for edge in edges}
    assert len(list(itertools.islice(space, 1000))) == 1000
    assert time.process_time() - start < 1


def test_a_long_chain_of_edges_is_enumerated():
    space = StructureSpace(tuple(EdgeChoice(f"n{i}->n{i + 1}", ("a",), "all") for i in range(3000)))
    assert len(list(space)) == space.count == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [(1234, "1,234"), (2**40, "1,099,511,627,776"), (2**30_000, "about 10^9030")],
    ids=["few", "many", "too many to write"],
)
def test_counts_are_shown_shortly(count, text):
    assert shown_count(count) == text
    assert math.log10(count) >= 0
