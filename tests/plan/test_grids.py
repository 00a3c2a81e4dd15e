"""A space that doesn't fit into a batch is parted into grids over its last edges."""

from __future__ import annotations

import pytest
import studies

from structflow.model.population import build_population
from structflow.plan.batching import cut, is_grid, make_batches, parted_into_grids
from structflow.plugins import Candidate

THREE = ["linear", {"type": "dense"}, {"type": "dense", "activation": "relu"}]
EDGES = [
    {"from": "x", "to": "h", "choose": "one", "basis": THREE},
    {"from": "h", "to": "k", "choose": "one", "basis": THREE},
    {"from": "k", "to": "y", "choose": "one", "basis": THREE},
    {"from": "x", "to": "y", "choose": "one", "basis": THREE},
]
NODES = {"h": {"shape": [2]}, "k": {"shape": [1]}}
STUDY = studies.study(studies.spec(model=studies.model(EDGES, **NODES)))
SPACE = list(STUDY.space)


def members(restarts: int = 1) -> list[Candidate]:
    return [Candidate(structure, restart) for structure in SPACE for restart in range(restarts)]


@pytest.mark.parametrize(("most", "sizes"), [(27, [27] * 3), (9, [9] * 9), (3, [81]), (81, [81]), (100, [81])])
def test_parts_are_grids_over_the_last_edges(most, sizes):
    """81 structures by the choice on the first edge or two; as few as fit, and no grids of fewer than nine."""
    parts = parted_into_grids(members(), most)
    assert [len(part) for part in parts] == sizes
    assert all(is_grid(part) for part in parts)
    assert sorted(map(repr, sum(parts, []))) == sorted(map(repr, members()))  # noqa: RUF017
    leading = {81: 0, 27: 1, 9: 2}[sizes[0]]
    firsts = [{member.structure.edges[:leading] for member in part} for part in parts]
    assert all(len(first) == 1 for first in firsts)
    assert len(set(map(frozenset, firsts))) == len(parts)


def test_batches_of_parts_are_trained_in_views():
    """Each of the three batches routes by grids, and no function has a spare slot: 81 · 4 in all."""
    batches = make_batches(STUDY.graph, members(), 27)
    assert [len(batch.members) for batch in batches] == [27] * 3
    assert {member for batch in batches for member in batch.members} == set(members())
    slots = 0
    for batch in batches:
        population = build_population(STUDY.graph, STUDY.graph.node_shapes(), batch.members, batch.capacities)
        assert all(type(routing).__name__.startswith("Grid") for routing in population.network.routings[1:])
        slots += sum(map(sum, batch.capacities))
    assert slots == 81 * 4


@pytest.mark.parametrize(
    ("most", "whole"),
    [
        (26, True),  # parts of 9 in batches of 26: nine batches would hold 81 of 234
        (18, False),  # parts of 9 in batches of 18: half full
        (17, False),  # 9 · 17 = 153 ≤ 162
        (19, True),  # 9 · 19 = 171 > 162
        (2, True),  # no edge left to part by leaves two structures
    ],
)
def test_parts_that_would_leave_batches_emptier_than_half_stay_together(most, whole):
    parts = parted_into_grids(members(), most)
    assert len(parts) == (1 if whole else 9)
    if not whole:
        assert sum(len(cut(part, most)) for part in parts) * most <= 2 * 81


def test_restarts_fill_the_batches():
    """Three restarts: parts of 27 structures make 81 members, which a batch of 54 takes two restarts of at a time."""
    batches = make_batches(STUDY.graph, members(3), 54)
    assert {member for batch in batches for member in batch.members} == set(members(3))
    assert sorted(len(batch.members) for batch in batches) == [27] * 3 + [54] * 3


def test_what_is_not_a_grid_stays_together():
    """A structure missing, a restart missing, or relaxed members."""
    assert len(parted_into_grids(members()[1:], 27)) == 1
    assert len(parted_into_grids(members(2)[1:], 27)) == 1
    assert len(parted_into_grids([Candidate(None, restart) for restart in range(50)], 27)) == 1
    assert not is_grid(members()[1:])
    assert not is_grid([Candidate(None, 0)])


def test_a_plan_has_a_slot_for_every_part():
    """81 structures, one restart, 27 a batch; the plan is what the run's decision is cut into."""
    document = studies.spec(
        model=studies.model(EDGES, **NODES), optimizer={"restarts": 1}, compute={"members_per_batch": 27}
    )
    (planned,) = studies.plan(document).settings[0].rounds
    assert (planned.members, planned.slots, planned.members_per_batch) == (81, 3, 27)
