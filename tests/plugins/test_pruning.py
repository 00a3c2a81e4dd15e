"""Pruning, discrete: improbable functions leave the open set until the score falls or nothing is left."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regime_records import SPACE, decide, number_from, play, problems, rounds, structure
from test_regimes_and_levels import WITH_SHAPES, spaces

from structflow.plugins import Candidate, MemberRecord, Parent
from structflow.spec.structures import EdgeChoice, OpenSet, Structure, StructureSpace

EVEN = {"x->h": {"a": 0.5, "b": 0.3, "c": 0.2}, "h->y": {"d": 0.6, "e": 0.4}}


def open_set(one: str, many: str) -> OpenSet:
    return OpenSet((("x->h", tuple(one)), ("h->y", tuple(many))))


def record(
    round_index: int,
    score: float,
    probabilities: dict[str, dict[str, float]] | None = None,
    restart: int = 0,
    left: OpenSet | None = None,
    rounded: Structure | None = None,
) -> MemberRecord:
    found = None if math.isinf(score) else rounded or structure("a", "d")
    return MemberRecord(Candidate(None, restart, left), round_index, score, score, found, probabilities or EVEN)


def left_after(probabilities: dict[str, dict[str, float]], threshold: float, left: OpenSet | None = None) -> OpenSet:
    decision = decide("pruning", SPACE, 1, 1, [record(0, 0.0, probabilities, left=left)], threshold=threshold)
    (candidate,) = decision.candidates
    assert candidate.structure is None
    assert candidate.open is not None
    return candidate.open


def test_it_begins_with_everything_open():
    assert decide("pruning", SPACE, 2, 0, ()).candidates == [Candidate(None, 0), Candidate(None, 1)]


@pytest.mark.parametrize(
    ("probabilities", "threshold", "expected"),
    [
        (EVEN, 0.05, open_set("ab", "de")),  # none is below: the least probable, c with 0.2
        (EVEN, 0.35, open_set("a", "de")),  # b and c
        (EVEN, 0.45, open_set("a", "d")),  # b, c and e
        (EVEN, 1.0, open_set("a", "")),  # all but the last of the edge that chooses one
        ({"x->h": {"a": 0.0, "b": 0.0, "c": 1.0}, "h->y": {"d": 0.0, "e": 0.9}}, 0.1, open_set("c", "e")),
        ({"x->h": {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, "h->y": {"d": 1.0, "e": 1.0}}, 0.1, open_set("bc", "de")),
    ],
)
def test_what_is_dropped(probabilities, threshold, expected):
    """Those below the threshold, at least one; equal ones by name."""
    assert left_after(probabilities, threshold) == expected


def test_only_open_functions_are_dropped():
    """c is closed already with probability 0; the next is b."""
    left = open_set("ab", "de")
    chances = {"x->h": {"a": 0.7, "b": 0.3, "c": 0.0}, "h->y": {"d": 0.6, "e": 0.4}}
    assert left_after(chances, 0.05, left) == open_set("a", "de")


def test_no_fewer_than_min_are_left():
    """`min: 1`: of d and e, both improbable, the more probable one stays; `all` loses nothing."""
    space = StructureSpace((EdgeChoice("h->y", ("d", "e"), "any", 1), EdgeChoice("x->h", ("a", "b"), "all")))
    finished = record(0, 0.0, {"h->y": {"d": 0.02, "e": 0.01}})
    (candidate,) = decide("pruning", space, 1, 1, [finished]).candidates
    assert candidate.open == OpenSet((("h->y", ("d",)), ("x->h", ("a", "b"))))
    assert [bound.name for bound in rounds("pruning", space, 1)] == ["prune-0", "prune-1", "discretise"]  # one to drop


def test_every_restart_goes_on_from_itself_and_diverged_ones_from_the_best():
    """The best restart, 2, decides what is dropped."""
    other = {"x->h": {"a": 0.2, "b": 0.3, "c": 0.5}, "h->y": {"d": 0.6, "e": 0.4}}
    records = [record(0, 1.0, EVEN, 0), record(0, -math.inf, EVEN, 1), record(0, 2.0, other, 2)]
    decision = decide("pruning", SPACE, 3, 1, records)
    assert decision.candidates == [
        Candidate(None, restart, open_set("bc", "de"), Parent(0, None, None, parent))
        for restart, parent in ((0, 0), (1, 2), (2, 2))
    ]


@pytest.mark.parametrize(("score", "stops"), [(9.0, False), (8.99, True), (12.0, False), (-math.inf, True)])
def test_it_stops_when_the_score_falls_by_more_than_the_tolerance(score, stops):
    """The best so far is 10, the tolerance 1."""
    records = [record(0, 10.0), record(1, score, left=open_set("ab", "de"))]
    assert (decide("pruning", SPACE, 1, 2, records).candidates == []) is stops
    assert decide("pruning", SPACE, 1, 3, records).candidates == []  # the round before trained nothing


def discretised(records: list[MemberRecord], **keys: int) -> set[Structure | None]:
    last = len(rounds("pruning", SPACE, 2, **keys)) - 1
    decision = decide("pruning", SPACE, 2, last, records, **keys)
    found = [candidate.structure for candidate in decision.candidates]
    assert len(found) == 2 * len(set(found))
    assert all(candidate.parent is None for candidate in decision.candidates)
    return set(found)


def test_the_last_round_trains_what_was_found_and_what_is_left():
    """Rounded to in any round: (a, d) and (b, e). Left open: a or b with d, or nothing: 3 structures."""
    left = open_set("ab", "d")
    records = [record(0, 0.0, rounded=structure("b", "e")), record(1, 0.0, left=left)]
    found = {structure("a", "d"), structure("b", "e")}
    few = {structure(one, many) for one in "ab" for many in ("", "d")}
    assert len(few) == 3
    assert discretised(records, finalists=3) == found | few
    assert discretised(records, finalists=2) == found


def test_what_is_left_is_what_the_score_held_for():
    """The second round fell by 5: its open set isn't the answer, the first one's 10 structures are too many."""
    records = [record(0, 0.0), record(1, -5.0, left=open_set("a", "d"))]
    assert discretised(records) == {structure("a", "d")}


def test_nothing_is_discretised_where_all_diverged():
    assert discretised([record(0, -math.inf)]) == set()


def test_bounds_of_rounds():
    """Two functions of three, and two of two, can be dropped: five relaxed rounds of 2 members, then 10 structures."""
    bounds = rounds("pruning", SPACE, 2)
    assert [bound.name for bound in bounds] == [*(f"prune-{index}" for index in range(5)), "discretise"]
    assert [bound.most for bound in bounds] == [2] * 5 + [20]
    assert [bound.exact for bound in bounds] == [True] + [False] * 5
    assert [bound.most for bound in rounds("pruning", SPACE, 1, max_rounds=2, finalists=3)] == [1, 1, 5]


@given(spaces(), st.integers(1, 3), st.floats(0, 1), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_whole_pruning_stays_within_its_bounds(space, restarts, threshold, seed):
    """The score never falls and the probabilities are random: it ends with one structure of the smallest choices."""
    if space.shapes:
        space = StructureSpace(space.edges)

    def finish(candidate: Candidate, index: int) -> MemberRecord:
        chances = {
            edge.key: {name: number_from(edge.key, name, candidate.restart, seed) % 100 / 100 for name in edge.names}
            for edge in space.edges
        }
        left = space if candidate.open is None else space.restricted(candidate.open)
        rounded = left.round([[chances[edge.key][name] for name in edge.names] for edge in left.edges])
        return MemberRecord(candidate, index, 0.0, 0.0, rounded, chances)

    decisions = play("pruning", space, restarts, finish, threshold=threshold)
    relaxed = [decision.candidates[0].open or space.open_set for decision in decisions[:-1] if decision.candidates]
    counts = [sum(len(names) for _, names in left.edges) for left in relaxed]
    assert counts == sorted(set(counts), reverse=True)  # fewer every time
    assert space.restricted(relaxed[-1]).count == 1  # it went on till nothing was left to drop


def test_it_refuses_a_choice_of_shapes():
    assert list(problems({"type": "pruning"}, WITH_SHAPES)) == ["model.nodes.h.shape.choose"]
    assert problems({"type": "pruning"}) == {}
