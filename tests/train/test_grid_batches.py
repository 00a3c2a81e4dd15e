"""Batches that are grids over the last edges train every member as one big batch does: noise belongs to members."""

from __future__ import annotations

import pytest
import test_batch_mates
from handmade import edge, fn, graph
from test_batch_mates import assert_same, of_member, run

from structflow.model.population import build_population
from structflow.plan.batching import cut, make_batches
from structflow.plugins import Candidate


def three():
    return fn("linear"), fn("dense"), fn("dense", activation="relu")


OF = graph(
    {"x": (3,), "h": (2,), "k": (1,), "y": (1,)},
    edge("x", "h", "one", *three()),
    edge("h", "k", "one", *three()),
    edge("k", "y", "one", *three()),
    edge("x", "y", "one", *three()),
)
MEMBERS = [Candidate(structure, 0) for structure in OF.structure_space()]


def trained(candidates, capacities=None):
    members = build_population(OF, OF.node_shapes(), candidates, capacities)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_batch_mates, "STEPS", 2)
        return members, run(members)


@pytest.fixture(scope="module")
def whole():
    return trained(MEMBERS)


@pytest.mark.thorough
def test_three_grids_of_27_are_one_of_81(whole):
    batches = make_batches(OF, MEMBERS, 27)
    assert [len(batch.members) for batch in batches] == [27] * 3
    for batch in batches:
        part = trained(batch.members, batch.capacities)
        for place in (0, 13, 26):
            number = MEMBERS.index(batch.members[place])
            assert_same(of_member(*whole, number), of_member(*part, place), 1e-9)


def test_members_that_are_gathered_are_too(whole):
    """The first 41 of the 81 are no grid: index tensors in place of views."""
    part = cut(MEMBERS, 41)[0]
    members, result = trained(part)
    assert not any(type(routing).__name__.startswith("Grid") for routing in members.network.routings[2:])
    for place in (0, 20, 40):
        number = MEMBERS.index(part[place])
        assert_same(of_member(*whole, number), of_member(members, result, place), 1e-9)
