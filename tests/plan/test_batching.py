"""Batches hold every member once, are no larger than asked, and are as alike as they can be."""

from __future__ import annotations

from itertools import pairwise

import pytest
import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.model.layout import uses
from structflow.plan.batching import Batch, make_batches, most_batches
from structflow.plugins import Candidate

STUDY = studies.study(
    studies.spec(
        model=studies.model(
            [
                {"from": "x", "to": "h", "choose": "one", "basis": ["dense", "linear", "polynomial"]},
                studies.LAST,
                {"from": "x", "to": "y", "choose": "any", "basis": ["linear", "dense"]},
            ],
            h={"shape": {"choose": [[2], [3]]}},
        )
    )
)
SPACE = list(STUDY.space)
"""3 functions × 4 subsets × 2 widths = 24 structures."""


@given(
    chosen=st.lists(st.integers(0, len(SPACE) - 1), min_size=1, max_size=12, unique=True),
    restarts=st.integers(1, 9),
    most=st.integers(1, 40),
    alone=st.booleans(),
    ragged=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_every_batch(chosen, restarts, most, alone, ragged):
    candidates = [Candidate(SPACE[number], restart) for number in chosen for restart in range(restarts)]
    if ragged:  # a regime may want other restarts of some structures only
        candidates = candidates[1:] or candidates
    batches = make_batches(STUDY.graph, candidates, most, alone)
    members = [member for batch in batches for member in batch.members]
    assert sorted(members, key=repr) == sorted(candidates, key=repr)  # every candidate exactly once
    for batch in batches:
        assert 1 <= len(batch.members) <= most
        assert {member.structure.shapes for member in batch.members} == {batch.shapes}
        assert not alone or len({member.structure for member in batch.members}) == 1
        counts = [table.sum(axis=0) for table in uses(STUDY.graph, [member.structure for member in batch.members])]
        for row, capacities in zip(counts, batch.capacities, strict=True):
            assert all(used <= slots for used, slots in zip(row, capacities, strict=True))
        assert Batch.of_record(batch.record([("key",)] * len(batch.members))) == batch
    groups = {}
    for batch in batches:
        groups.setdefault((batch.shapes, batch.members[0].structure if alone else None), []).append(batch)
    for parts in groups.values():
        if len({len(part.members) for part in parts}) == 1:
            assert len({part.capacities for part in parts}) == 1  # one program for all of them
    assert len(batches) <= most_batches(len(candidates), len(groups), most)  # what plans of adaptive regimes rely on


@pytest.mark.parametrize(("restarts", "most", "sizes"), [(8, 24, [24] * 4), (8, 36, [36, 36, 24]), (8, 1000, [96])])
def test_where_all_structures_fit_each_batch_is_a_grid(restarts, most, sizes):
    """All 12 structures of a width with ⌊most / 12⌋ restarts each."""
    of_one_width = [structure for structure in SPACE if structure.shapes == SPACE[0].shapes]
    candidates = [Candidate(structure, restart) for structure in of_one_width for restart in range(restarts)]
    batches = make_batches(STUDY.graph, candidates, most)
    assert [len(batch.members) for batch in batches] == sizes
    assert all({member.structure for member in batch.members} == set(of_one_width) for batch in batches)


@given(st.integers(1, 200), st.integers(1, 50))
def test_batches_of_one_structure_are_as_equal_as_they_can_be(restarts, most):
    """The fewest batches there can be, ⌈restarts / most⌉, all of one size but the last."""
    batches = make_batches(STUDY.graph, [Candidate(SPACE[0], restart) for restart in range(restarts)], most)
    sizes = [len(batch.members) for batch in batches]
    assert len(sizes) == -(-restarts // most)
    assert all(one == other for one, other in pairwise(sizes[:-1]))
    assert sizes[-1] <= sizes[0]
