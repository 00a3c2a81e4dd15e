"""A child starts at exactly the numbers of its parent where the two have parameters in common, afresh elsewhere."""

from __future__ import annotations

import handmade
import pytest
import torch
from handmade import edge, fn

from structflow.model.population import build_population
from structflow.objective.inherit import Trained, inherit
from structflow.plugins import Candidate
from structflow.spec.structures import OpenSet, Structure

GRAPH = handmade.graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense"), fn("linear"), fn("dense", activation="relu")),
    edge("h", "y", "all", fn("linear", name="out")),
    edge("x", "y", "any", fn("linear", name="skip"), fn("polynomial", degree=2, name="curve")),
)


def structure(one: str, *many: str) -> Structure:
    return Structure((("x->h", (one,)), ("h->y", ("out",)), ("x->y", many)))


def bound_of(members, prior=None, posterior=None, graph=GRAPH, shapes=None):
    population = build_population(graph, graph.node_shapes(shapes), members)
    return handmade.make_bound(population, prior=prior, posterior=posterior)


def trained(members, **settings) -> Trained:
    bound = bound_of(members, **settings)
    return Trained(bound, bound.of_labels(handmade.perturbed(handmade.start(bound, seed=1), seed=5, scale=1.0)))


def inherited(fresh, bound, parent: Trained, pairs):
    """What members of a bound start with, by label."""
    return bound.labelled(inherit(bound.of_labels(fresh), bound, parent, pairs))


def slot_of(bound, group: str, member: int) -> int:
    groups = [each.name for each in bound.population.layout.groups]
    return int(bound.population.groups[groups.index(group)].positions[member])


def assert_rows_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter"])
def test_discrete_from_discrete(precision):
    """Child 0 adds a function to parent 1, child 1 has no parent, child 2 changes the function of parent 0."""
    prior = {"weights": {"precision": precision}}
    parent = trained([Candidate(structure("linear"), 0), Candidate(structure("dense:tanh", "skip"), 0)], prior=prior)
    children = bound_of(
        [
            Candidate(structure("dense:tanh", "skip", "curve"), 0),
            Candidate(structure("linear", "skip"), 0),
            Candidate(structure("dense:relu"), 0),
        ],
        prior=prior,
    )
    fresh = handmade.start(children)
    started = inherited(fresh, children, parent, {0: 1, 2: 0})
    groups = {"x->h/dense:tanh": {0: 1}, "x->y/skip": {0: 1}, "h->y/out": {0: 1, 2: 0}}
    for name, value in started.items():
        owner = children.by_label[name].group
        expected = fresh[name].clone()
        if owner is None:  # likelihood/…, and the shared precision
            expected[0], expected[2] = (
                parent.bound.labelled(parent.parameters)[name][1],
                parent.bound.labelled(parent.parameters)[name][0],
            )
        else:
            group = children.population.layout.groups[owner].name
            for child, origin in groups.get(group, {}).items():
                expected[slot_of(children, group, child)] = parent.bound.labelled(parent.parameters)[name][
                    slot_of(parent.bound, group, origin)
                ]
        assert_rows_equal(value, expected)
    assert not torch.equal(started["mean/h->y/out"], fresh["mean/h->y/out"])


def test_other_shapes_start_afresh():
    """h grows from 2 to 3 units: weights into and out of it are new, the skip connection's are the parent's."""
    graph = handmade.Graph(GRAPH.nodes, {**GRAPH.shapes, "h": ((2,), (3,))}, GRAPH.edges)
    chosen = structure("dense:tanh", "skip")
    prior = {"weights": {"precision": "per_function"}}
    parent = trained([Candidate(chosen, 0)], graph=graph, shapes={"h": (2,)}, prior=prior)
    child = bound_of([Candidate(chosen, 0)], graph=graph, shapes={"h": (3,)}, prior=prior)
    fresh = handmade.start(child)
    started = inherited(fresh, child, parent, {0: 0})
    for name, value in started.items():
        weights = name.partition("/")[0] in ("mean", "log_sd")
        kept = not weights or "skip" in name  # a precision has no shape
        assert_rows_equal(value, parent.bound.labelled(parent.parameters)[name] if kept else fresh[name])


def test_relaxed_from_relaxed_with_fewer_functions():
    """log s of the functions open in both, with mean 0 on the edge of `one`; nothing where one function is left."""
    prior = {"structure": {"learned": True}}
    parent = trained([Candidate(None, restart) for restart in range(2)], prior=prior)
    left = OpenSet((("x->h", ("dense:tanh", "dense:relu")), ("h->y", ("out",)), ("x->y", ("curve",))))
    child = bound_of([Candidate(None, restart, left) for restart in range(2)], prior=prior)
    fresh = handmade.start(child)
    started = inherited(fresh, child, parent, {1: 0})
    for kind in ("structure", "prior_structure"):
        kept = parent.bound.labelled(parent.parameters)[f"{kind}/x->h"][0, [0, 2]]
        assert_rows_equal(started[f"{kind}/x->h"][1], kept - kept.mean())
        assert_rows_equal(started[f"{kind}/x->y"][1], parent.bound.labelled(parent.parameters)[f"{kind}/x->y"][0, [1]])
        assert_rows_equal(started[f"{kind}/x->h"][0], fresh[f"{kind}/x->h"][0])
    for name, value in started.items():
        if "structure/" not in name:
            assert_rows_equal(value[1], parent.bound.labelled(parent.parameters)[name][0])
            assert_rows_equal(value[0], fresh[name][0])
    assert "structure_temperature" in started


def test_relaxed_from_fewer_functions_keeps_the_others_fresh():
    left = OpenSet((("x->h", ("linear", "dense:relu")), ("h->y", ("out",)), ("x->y", ())))
    parent = trained([Candidate(None, 0, left)])
    child = bound_of([Candidate(None, 0)])
    fresh = handmade.start(child)
    started = inherited(fresh, child, parent, {0: 0})
    kept = parent.bound.labelled(parent.parameters)["structure/x->h"][0]
    assert_rows_equal(started["structure/x->h"][0, [1, 2]], kept - kept.mean())
    assert started["structure/x->h"][0, 0] == fresh["structure/x->h"][0, 0]
    assert_rows_equal(started["structure/x->y"], fresh["structure/x->y"])


def test_discrete_from_relaxed():
    """The weights of the functions chosen, and the precision."""
    parent = trained([Candidate(None, 0), Candidate(None, 1)])
    child = bound_of([Candidate(structure("linear", "curve"), 0)])
    started = inherited(handmade.start(child), child, parent, {0: 1})
    assert not any(name.startswith("structure") for name in started)
    for name, value in started.items():
        assert_rows_equal(value[0], parent.bound.labelled(parent.parameters)[name][1])


def test_shared_weights_are_inherited_by_another_user():
    """W is tied between two functions of an edge: a child that changes from one to the other keeps it."""
    graph = handmade.graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense", share="W"), fn("dense", activation="relu", share="W")),
        edge("h", "y", "all", fn("linear", name="out")),
    )
    chosen = [Structure((("x->h", (name,)), ("h->y", ("out",)))) for name in ("dense:tanh", "dense:relu")]
    parent = trained([Candidate(chosen[0], 0)], graph=graph)
    child = bound_of([Candidate(chosen[0], 1), Candidate(chosen[1], 0)], graph=graph)
    fresh = handmade.start(child)
    started = inherited(fresh, child, parent, {1: 0})
    for name in ("mean/share/W", "log_sd/share/W"):
        assert_rows_equal(started[name][1], parent.bound.labelled(parent.parameters)[name][0])
        assert_rows_equal(started[name][0], fresh[name][0])


def test_a_full_covariance_only_where_all_weights_are_the_same():
    full = {"weights": {"covariance": "full"}}
    parent = trained([Candidate(structure("linear", "skip"), 0)], posterior=full)
    same = bound_of([Candidate(structure("linear", "skip"), 1)], posterior=full)
    other = bound_of([Candidate(structure("linear", "curve"), 1)], posterior=full)  # as many groups, other names
    started = inherited(handmade.start(same), same, parent, {0: 0})
    for name, value in started.items():
        assert_rows_equal(value, parent.bound.labelled(parent.parameters)[name])
    fresh = handmade.start(other)
    started = inherited(fresh, other, parent, {0: 0})
    for name, value in started.items():
        assert_rows_equal(
            value, fresh[name] if name in ("mean", "cholesky") else parent.bound.labelled(parent.parameters)[name]
        )
