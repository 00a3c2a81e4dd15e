"""Growth, discrete: the simplest structure first, then the neighbours of the best, until nothing rises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regime_records import SPACE, decide, number_from, options, play, rounds, structure
from test_regimes_and_levels import spaces

from structflow.plugins import Candidate, MemberRecord, Parent
from structflow.spec.structures import Structure, StructureSpace


def record(chosen: Structure, round_index: int, score: float, restart: int = 0) -> MemberRecord:
    return MemberRecord(Candidate(chosen, restart), round_index, score, score)


SIMPLEST = structure("b")


def test_it_begins_with_the_structure_of_the_fewest_weights():
    """b and c have 3 weights and a has 5; of the subsets of d and e the empty one has none."""
    decision = decide("growth", SPACE, 2, 0, ())
    assert decision.candidates == [Candidate(SIMPLEST, 0), Candidate(SIMPLEST, 1)]


def test_the_simplest_has_the_smallest_shapes_that_its_weights_allow():
    """Two shapes: 6 or 9 weights for a, 4 or 8 for b."""
    edge = SPACE.edges[0]
    sizes = {(None, (2,)): (6, 4, 7), (None, (3,)): (9, 8, 7)}
    space = StructureSpace((type(edge)("x->h", edge.names, "one", sizes=sizes),), (("h", ((3,), (2,))),))
    assert space.simplest == Structure((("x->h", ("b",)),), (("h", (2,)),))
    assert space.n_weights(space.simplest) == 4


def test_every_neighbour_of_the_best_follows_from_its_best_restart_or_starts_afresh():
    """From {}: d or e brings h into use, with b, which has the fewest weights, or one step from it; restart 1 scored
    higher. Odd restarts have no parent."""
    records = [record(SIMPLEST, 0, 1.0, 0), record(SIMPLEST, 0, 2.0, 1)]
    parent = Parent(0, SIMPLEST, None, 1)
    expected = sorted([structure(one, many) for one in "abc" for many in "de"], key=canonical)
    assert decide("growth", SPACE, 2, 1, records).candidates == [
        candidate for each in expected for candidate in (Candidate(each, 0, parent=parent), Candidate(each, 1))
    ]


def canonical(chosen: Structure) -> str:
    return chosen.canonical


FIRST = [
    record(SIMPLEST, 0, 0.0),
    record(structure("a", "d"), 1, 5.0),
    record(structure("c", "d"), 1, 1.0),
    record(structure("b", "d"), 1, 3.0),
    record(structure("b", "e"), 1, 3.0),
]


@pytest.mark.parametrize(
    ("beam", "expected"),
    [
        (1, [("a", "de")]),  # of the neighbours of a, d the structures b, d and c, d and {} are trained
        (2, [("a", "de"), ("b", "de")]),  # b, d has more weights than b, e, which it ties with
        (3, [("a", "de"), ("b", "de"), ("a", "e"), ("c", "e")]),  # b, de has another parent already
    ],
)
def test_the_beam_is_how_many_of_the_best_are_changed(beam, expected):
    decision = decide("growth", SPACE, 1, 2, FIRST, beam=beam)
    assert [candidate.structure for candidate in decision.candidates] == [structure(*each) for each in expected]
    first = decision.candidates[0]
    assert first.parent == Parent(1, structure("a", "d"), None, 0)


def test_shapes_go_to_the_next_smaller_or_larger():
    """4 units lie between 2 and 20; two axes of 2 × 3 = 6 elements lie between 4 and 20."""
    space = StructureSpace((), (("h", ((20,), (2,), (4,), (2, 3))),))
    assert [dict(each.shapes)["h"] for each in space.neighbours(Structure((), (("h", (4,)),)))] == [(2,), (2, 3)]
    assert [dict(each.shapes)["h"] for each in space.neighbours(Structure((), (("h", (20,)),)))] == [(2, 3)]
    assert space.most_neighbours == 2


def test_a_smallest_subset_isn_t_left():
    """`min: 1`: from {d} to {d, e} but not to {}."""
    edge = SPACE.edges[1]
    least = type(edge)("h->y", ("d", "e"), "any", 1)
    assert list(least.neighbours(("d",))) == [("d", "e")]
    assert list(least.neighbours(("d", "e"))) == [("e",), ("d",)]


@pytest.mark.parametrize(
    ("scores", "tolerance", "patience", "stops"),
    [
        ([0.0, 1.0], 0.0, 1, False),
        ([1.0, 1.0], 0.0, 1, True),  # equal isn't a rise
        ([1.0, 1.0], 0.0, 2, False),
        ([0.0, 1.0], 1.0, 1, True),  # a rise by the tolerance isn't more than it
        ([0.0, 0.7, 1.4], 1.0, 2, False),  # 1.4 is more than 1 above the last rise, 0.0
        ([0.0, 0.7, 0.9], 1.0, 2, True),
        ([-math.inf, 0.0], 0.0, 1, False),  # everything diverged at first
    ],
)
def test_it_stops_after_rounds_without_a_rise(scores, tolerance, patience, stops):
    """One structure a round; every other one is still to be trained, so only the scores can stop it."""
    chain = [SIMPLEST, structure("a", "d"), structure("a", "de")]
    records = [record(chosen, index, score) for index, (chosen, score) in enumerate(zip(chain, scores, strict=False))]
    keys = {"tolerance": tolerance, "patience": patience, "beam": 3}
    decided = decide("growth", SPACE, 1, len(scores), records, **keys).candidates
    assert (decided == []) is stops
    assert decide("growth", SPACE, 1, len(scores) + 5, records, patience=2).candidates == []  # and it stays so


def test_no_more_structures_than_asked_for():
    """5 of 10 are trained already and 6 are allowed: one more, the first."""
    decision = decide("growth", SPACE, 2, 2, FIRST, max_structures=6)
    assert [candidate.structure for candidate in decision.candidates] == [structure("a", "de")] * 2


def test_members_that_diverged_have_no_children():
    records = [record(SIMPLEST, 0, -math.inf)]
    assert decide("growth", SPACE, 1, 1, records).candidates == []


def test_bounds_of_rounds():
    """2 restarts; 10 structures with at most 2 + 3 · 3 neighbours: 1, then min(9, 11), min(8, …), one less each."""
    bounds = rounds("growth", SPACE, 2)
    assert [bound.most for bound in bounds] == [2, 18, 16, 14, 12, 10, 8, 6, 4, 2]
    assert [bound.exact for bound in bounds] == [True] + [False] * 9
    assert [bound.most for bound in rounds("growth", SPACE, 1, max_rounds=3, max_structures=4)] == [1, 3, 2]
    assert len({bound.name for bound in bounds}) == 10


@pytest.mark.thorough
@given(spaces(), st.integers(1, 2), st.integers(1, 3), st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_a_whole_growth_stays_within_its_bounds(space, restarts, beam, seed):
    """With random scores, and patience for as long as there is anything to train: every structure once."""

    def finish(candidate: Candidate, index: int) -> MemberRecord:
        score = float(number_from(candidate.structure.canonical, candidate.restart, seed) % 1000)
        return MemberRecord(candidate, index, score, score)

    keys = {"beam": 10_000, "patience": 10_000, "max_rounds": 100, "max_structures": 2000}
    decisions = play("growth", space, restarts, finish, **keys)
    trained = [candidate.structure for decision in decisions for candidate in decision.candidates]
    assert len(trained) == len(set(trained)) * restarts
    assert set(trained) == set(space)  # the space is connected by single steps
    play("growth", space, restarts, finish, beam=beam, max_structures=5, max_rounds=4)


def test_the_defaults():
    keys = options("growth")
    assert (keys.form, keys.beam, keys.tolerance, keys.patience) == ("discrete", 2, 0.1, 2)
