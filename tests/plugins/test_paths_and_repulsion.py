"""The continuous forms of growth and pruning, the repulsive form of enumeration, and the key `open` of them all."""

from __future__ import annotations

import math

import pytest
from regime_records import SPACE, decide, problems, rounds, structure
from test_regimes_and_levels import WITH_SHAPES

from structflow.plugins import Candidate, MemberRecord, Parent
from structflow.spec.searched import open_set, searched_space
from structflow.spec.structures import EdgeChoice, OpenSet, Structure, StructureSpace


def record(round_index: int, restart: int, rounded: Structure | None, objective: float = 0.0) -> MemberRecord:
    """A relaxed member; one that rounds to nothing diverged."""
    score = -math.inf if rounded is None else -100.0
    return MemberRecord(Candidate(None, restart), round_index, score, objective, rounded, {})


@pytest.mark.parametrize(
    ("type_name", "values"),
    [("growth", [100, 31.6227766, 10, 3.16227766, 1]), ("pruning", [1, 3.16227766, 10, 31.6227766, 100])],
)
def test_a_path_is_equally_spaced_in_its_logarithm(type_name, values):
    """Five points over two decades; c_prior goes with c_reg, and the last round has the spec's own objective."""
    *path, last = rounds(type_name, SPACE, 2, form="continuous")
    assert [bound.metaparameters for bound in path] == [
        {"c_reg": pytest.approx(value), "c_prior": pytest.approx(value)} for value in values
    ]
    assert all((bound.relaxed, bound.most, bound.exact) == (True, 2, True) for bound in path)
    assert (last.metaparameters, last.relaxed, last.most) == ({}, False, 2 * min(5 * 2, 12))


def test_a_path_along_c_prior_moves_nothing_else():
    *path, _ = rounds("pruning", SPACE, 1, form="continuous", along="c_prior", points=1, start=2.0)
    assert [bound.metaparameters for bound in path] == [{"c_prior": 2.0}]


def test_every_restart_goes_on_from_where_it_ended():
    """Restart 1 diverged in the round before and starts afresh."""
    keys = {"form": "continuous", "points": 3}
    assert decide("growth", SPACE, 2, 0, [], **keys).candidates == [Candidate(None, 0), Candidate(None, 1)]
    first = [record(0, 0, structure("a", "d")), record(0, 1, structure("b", "d"))]
    assert decide("growth", SPACE, 2, 1, first, **keys).candidates == [
        Candidate(None, restart, parent=Parent(0, None, None, restart)) for restart in (0, 1)
    ]
    second = [*first, record(1, 0, structure("a", "d")), record(1, 1, None)]
    assert decide("growth", SPACE, 2, 2, second, **keys).candidates == [
        Candidate(None, 0, parent=Parent(1, None, None, 0)),
        Candidate(None, 1),
    ]
    third = [*second, record(2, 0, structure("c", "d")), record(2, 1, structure("a", "d"))]
    assert decide("growth", SPACE, 2, 3, third, **keys).candidates == [
        Candidate(each, restart)
        for each in sorted(
            [structure("a", "d"), structure("b", "d"), structure("c", "d")], key=lambda each: each.canonical
        )
        for restart in (0, 1)
    ]


TWO_LEVELS = {"optimizer": {"outer": "one_level"}}


@pytest.mark.parametrize(
    ("regime", "sections", "paths"),
    [
        ({"type": "growth"}, {}, []),
        ({"type": "growth", "form": "continuous"}, {}, []),
        ({"type": "growth", "form": "continuous", "start": 1, "end": 10}, {}, ["regime.start"]),
        ({"type": "pruning", "form": "continuous", "start": 10, "end": 1}, {}, ["regime.start"]),
        ({"type": "pruning", "form": "continuous", "start": 10, "end": 1, "points": 1}, {}, []),
        ({"type": "growth", "form": "continuous", "along": "c_prior"}, TWO_LEVELS, ["regime.along"]),
        ({"type": "growth", "along": "c_prior"}, TWO_LEVELS, []),  # discrete: there is no path
        ({"type": "pruning", "form": "continuous"}, {"objective": {"c_train": 2, "c_prior": 2}}, ["regime.along"]),
        ({"type": "enumeration", "form": "repulsive"}, {}, ["regime.form"]),
        ({"type": "enumeration", "form": "repulsive"}, {"objective": {"c_comb": 1}}, ["regime.form"]),
        ({"type": "enumeration", "form": "repulsive"}, {"objective": {"c_comb": -1}}, []),
        (
            {"type": "enumeration", "form": "repulsive"},
            {"objective": {"c_comb": {"schedule": "linear", "from": -2, "to": -1}}},
            [],
        ),
    ],
)
def test_what_forms_can_t_work_with(regime, sections, paths):
    assert list(problems(regime, **sections)) == paths


def test_conflicts_name_both_keys():
    along = problems({"type": "growth", "form": "continuous", "along": "c_prior"})
    assert "optimizer.outer.type one_level" in along["regime.along"]
    assert "objective.c_comb" in problems({"type": "enumeration", "form": "repulsive"})["regime.form"]


@pytest.mark.parametrize("regime", [{"type": "growth"}, {"type": "pruning"}, {"type": "enumeration"}])
def test_relaxed_forms_refuse_a_choice_of_shapes(regime):
    form = {"enumeration": "repulsive"}.get(regime["type"], "continuous")
    found = problems({**regime, "form": form}, WITH_SHAPES, objective={"c_comb": -1})
    assert "model.nodes.h.shape.choose" in found
    if regime["type"] != "pruning":
        assert problems(regime, WITH_SHAPES) == {}


REPULSIVE = {"form": "repulsive"}


def test_every_visit_is_repelled_from_what_was_found():
    """The restart with the highest objective decides what a round found; restart 0 of equal ones."""
    first = [
        record(0, 0, structure("a", "d"), 1.0),
        record(0, 1, structure("b", "d"), 2.0),
        record(0, 2, None, -math.inf),
    ]
    assert decide("enumeration", SPACE, 3, 0, [], **REPULSIVE).against == ()
    decision = decide("enumeration", SPACE, 3, 1, first, **REPULSIVE)
    assert decision.against == (structure("b", "d"),)
    assert decision.candidates == [Candidate(None, restart) for restart in range(3)]
    second = [*first, record(1, 0, structure("c", "d"), 5.0), record(1, 1, structure("a", "d"), 5.0)]
    assert decide("enumeration", SPACE, 3, 2, second, **REPULSIVE).against == (structure("b", "d"), structure("c", "d"))


def test_it_stops_at_the_first_repeat():
    """The third visit finds the first structure again; without `stop_at_repeat` it goes on with two in P."""
    records = [record(index, 0, structure(name, "d")) for index, name in enumerate("bcb")]
    assert decide("enumeration", SPACE, 1, 3, records, **REPULSIVE).candidates == []
    assert decide("enumeration", SPACE, 1, 4, records, **REPULSIVE).candidates == []
    going_on = decide("enumeration", SPACE, 1, 3, records, stop_at_repeat=False, **REPULSIVE)
    assert going_on.candidates == [Candidate(None, 0)]
    assert going_on.against == (structure("b", "d"), structure("c", "d"))


def test_it_stops_when_a_round_found_nothing():
    records = [record(0, 0, structure("b", "d")), record(1, 0, None, -math.inf)]
    assert decide("enumeration", SPACE, 1, 2, records, **REPULSIVE).candidates == []


def test_the_last_round_trains_each_structure_found():
    """By default a visit a structure: 10 rounds, and the last trains b and c."""
    bounds = rounds("enumeration", SPACE, 2, **REPULSIVE)
    assert [bound.name for bound in bounds] == [*(f"repel-{index}" for index in range(10)), "discretise"]
    assert [bound.most for bound in bounds] == [2] * 10 + [20]
    assert [bound.exact for bound in bounds] == [True] + [False] * 10
    records = [record(index, 0, structure(name, "d")) for index, name in enumerate("cbc")]
    decision = decide("enumeration", SPACE, 2, 10, records, **REPULSIVE)
    assert decision.candidates == [Candidate(structure(name, "d"), restart) for name in "bc" for restart in (0, 1)]
    assert decision.against == ()


def test_visits_are_no_more_than_32_by_default():
    large = StructureSpace((EdgeChoice("x->y", tuple(f"f{index}" for index in range(40)), "one"),))
    assert len(rounds("enumeration", large, 1, **REPULSIVE)) == 32 + 1
    assert len(rounds("enumeration", large, 1, visits=3, **REPULSIVE)) == 3 + 1
    certain = rounds("enumeration", large, 1, visits=3, stop_at_repeat=False, **REPULSIVE)
    assert [bound.exact for bound in certain] == [True] * 3 + [False]


@pytest.mark.parametrize(
    ("left", "path", "words"),
    [
        ({"x->z": ["a"]}, "regime.open.x->z", "model.edges has no edge 'x->z'"),
        ({"x->h": ["a", "z"]}, "regime.open.x->h", "model.edges[0].basis has no function 'z'"),
        ({"x->h": []}, "regime.open.x->h", "model.edges[0].choose is one"),
    ],
)
@pytest.mark.parametrize("type_name", ["enumeration", "evidence", "growth", "pruning"])
def test_what_is_wrong_with_open(type_name, left, path, words):
    (found,) = problems({"type": type_name, "open": left}).items()
    assert found[0] == path
    assert words in found[1]


def test_open_leaves_min_functions_and_all_of_an_edge_without_a_choice():
    space = StructureSpace((EdgeChoice("x->h", ("a", "b", "c"), "all"), EdgeChoice("h->y", ("d", "e"), "any", 2)))
    found = problems({"type": "enumeration", "open": {"x->h": ["a"], "h->y": ["d"]}}, space)
    assert list(found) == ["regime.open.x->h", "regime.open.h->y"]
    assert "model.edges[0].choose is all" in found["regime.open.x->h"]
    assert "model.edges[1].min is 2" in found["regime.open.h->y"]
    assert problems({"type": "enumeration", "open": {"h->y": ["e", "d"]}}, space) == {}


def test_open_restricts_the_space():
    """a or c, in spec order, with three subsets, and the empty one: an enumeration counts the 7 that are left."""
    regime = {"type": "enumeration", "open": {"x->h": ["c", "a"]}, "max_structures": 7}
    assert problems(regime) == {}
    assert "7 structures" in problems({**regime, "max_structures": 6})["regime.max_structures"]

    class Keys:
        open = {"x->h": ("c", "a")}  # noqa: RUF012

    space = searched_space(SPACE, Keys())
    assert open_set(SPACE, Keys()) == OpenSet((("x->h", ("a", "c")), ("h->y", ("d", "e"))))
    assert set(space) == {each for each in SPACE if dict(each.edges)["x->h"] != ("b",)}
    assert space.edges[0].n_weights({}) == {"a": 5, "c": 3}
    Keys.open = {"x->h": ("c", "b", "a")}
    assert open_set(SPACE, Keys()) is None
    assert searched_space(SPACE, Keys()) is SPACE


def test_an_open_set_is_what_its_json_says():
    left = OpenSet((("x->h", ("b", "a")), ("h->y", ())))
    assert OpenSet.from_dict(left.as_dict()) == left
    assert left.canonical == '{"h->y":[],"x->h":["a","b"]}'
