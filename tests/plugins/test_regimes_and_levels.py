"""Built-in regimes: the rounds they announce are the rounds they decide; and where one level is enough."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structflow.errors import Problem
from structflow.plugins import Candidate, MemberRecord
from structflow.plugins.registry import registry
from structflow.spec.models import Spec
from structflow.spec.structures import EdgeChoice, Structure, StructureSpace


def regime(type_name: str) -> Any:
    return registry().of_kind("regimes")[type_name]


def options(type_name: str, **keys: Any) -> Any:
    return regime(type_name).options(**keys)


@st.composite
def spaces(draw: st.DrawFn) -> StructureSpace:
    """Up to three edges of up to three functions, and perhaps a node that chooses its shape."""
    edges = []
    for index in range(draw(st.integers(1, 3))):
        names = tuple("abc"[: draw(st.integers(1, 3))])
        space = draw(st.sampled_from(["one", "any"])) if len(names) > 1 else "all"
        edges.append(EdgeChoice(f"n{index}->n{index + 1}", names, space))
    shapes = draw(st.sampled_from([(), (("n1", ((5,), (20,))),)]))
    return StructureSpace(tuple(edges), shapes)


SPACE = StructureSpace((EdgeChoice("x->h", ("a", "b"), "one"), EdgeChoice("h->y", ("c", "d"), "any")))
WITH_SHAPES = StructureSpace(SPACE.edges, (("h", ((5,), (20,))),))


@given(spaces(), st.integers(1, 4))
def test_enumeration_trains_every_structure_from_every_restart(space: StructureSpace, restarts: int) -> None:
    plugin = regime("enumeration").plugin
    (bound,) = plugin.rounds(options("enumeration"), space, restarts)
    candidates = plugin.decide(options("enumeration"), space, restarts, 0, ()).candidates
    assert bound.exact
    assert not bound.relaxed
    assert len(candidates) == bound.most == space.count * restarts
    assert len(set(candidates)) == len(candidates)
    assert {candidate.structure for candidate in candidates} == set(space)
    assert {candidate.restart for candidate in candidates} == set(range(restarts))


def spec(**keys: Any) -> Spec:
    given = {
        "data": {"source": "synthetic", "rows": 10, "inputs": 1, "formula": "x0"},
        "model": {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]},
    }
    return Spec.model_validate(given | keys)


@pytest.mark.parametrize(("most", "accepted"), [(7, True), (6, False)])
def test_enumeration_refuses_a_space_beyond_its_limit(most: int, accepted: bool) -> None:
    studied = spec(regime={"type": "enumeration", "max_structures": most})
    problems = regime("enumeration").plugin.conflicts(studied, SPACE)
    assert SPACE.count == 7  # 2 · 3, and the empty subset
    assert [problem.path for problem in problems] == ([] if accepted else ["regime.max_structures"])
    assert all("7 structures" in problem.message and problem.suggestion for problem in problems)


@given(spaces(), st.integers(1, 4), st.data())
def test_evidence_relaxes_then_trains_what_was_rounded_to(
    space: StructureSpace, restarts: int, data: st.DataObject
) -> None:
    plugin, keys = regime("evidence").plugin, options("evidence")
    relax, discretise = plugin.rounds(keys, space, restarts)
    first = plugin.decide(keys, space, restarts, 0, ()).candidates
    assert first == [Candidate(None, restart) for restart in range(restarts)]
    assert (len(first), relax.relaxed, relax.exact) == (relax.most, True, True)

    structures = list(space)
    rounded = [data.draw(st.sampled_from(structures)) for _ in first]
    records = [MemberRecord(candidate, 0, 0.0, 0.0, to) for candidate, to in zip(first, rounded, strict=True)]
    second = plugin.decide(keys, space, restarts, 1, records).candidates
    assert not discretise.relaxed
    assert len(second) == len(set(rounded)) * restarts <= discretise.most
    assert {candidate.structure for candidate in second} == set(rounded)
    shuffled = data.draw(st.permutations(records))
    assert plugin.decide(keys, space, restarts, 1, shuffled).candidates == second


def test_evidence_orders_structures_canonically() -> None:
    structures = sorted(SPACE, key=lambda structure: structure.canonical, reverse=True)
    records = [MemberRecord(Candidate(None, restart), 0, 0.0, 0.0, to) for restart, to in enumerate(structures)]
    decided = regime("evidence").plugin.decide(options("evidence"), SPACE, 1, 1, records)
    assert [candidate.structure for candidate in decided.candidates] == structures[::-1]


def test_evidence_trains_nothing_discrete_when_every_restart_diverged() -> None:
    records = [MemberRecord(Candidate(None, restart), 0, -math.inf, -math.inf) for restart in range(3)]
    assert regime("evidence").plugin.decide(options("evidence"), SPACE, 3, 1, records).candidates == []


def test_evidence_refuses_a_choice_of_shapes() -> None:
    plugin = regime("evidence").plugin
    assert plugin.conflicts(spec(regime="evidence"), SPACE) == []
    (problem,) = plugin.conflicts(spec(regime="evidence"), WITH_SHAPES)
    assert problem.path == "model.nodes.h.shape.choose"
    assert "2 shapes" in problem.message
    assert problem.suggestion is not None


def test_candidates_can_be_compared_across_processes() -> None:
    structure = Structure((("x->h", ("a",)),))
    assert Candidate(structure, 1) == Candidate(Structure((("x->h", ("a",)),)), 1)


OF_PRIOR = {"of": "prior", "structure": {"x->y": ["linear"]}}
OF_POSTERIOR = {"of": "posterior", "structure": {"x->y": ["linear"]}}


def falling(end: float) -> dict[str, Any]:
    return {"schedule": "linear", "from": 2.0, "to": end}


@pytest.mark.parametrize(
    ("objective", "paths"),
    [
        ({}, []),
        ({"c_reg": 0.5, "c_train": 2, "c_prior": 1}, []),
        ({"c_reg": 0.1, "c_train": 3, "c_prior": 0.3}, []),
        ({"c_reg": 0, "c_prior": 0}, []),
        ({"c_comb": -1, "against": [OF_PRIOR]}, []),
        ({"c_comb": -1, "against": [OF_PRIOR, OF_POSTERIOR]}, ["objective.against[1].of"]),
        ({"c_comb": 0, "against": [OF_POSTERIOR]}, []),
        ({"c_train": falling(0.0), "c_prior": falling(0.0)}, ["objective.c_prior"]),
        ({"c_prior": 2}, ["objective.c_prior"]),
        ({"c_reg": 2}, ["objective.c_prior"]),
        ({"c_train": 0, "c_prior": 0}, ["objective.c_prior"]),
        ({"c_prior": 2, "c_comb": 1, "against": [OF_POSTERIOR]}, ["objective.against[0].of", "objective.c_prior"]),
        ({"c_reg": falling(1), "c_prior": falling(1)}, []),
        ({"preset": "cross_validation"}, ["criterion"]),
        ({"preset": "map"}, []),
        ({"c_train": falling(1), "c_prior": falling(1)}, []),
        ({"c_train": falling(1), "c_prior": falling(0.5)}, ["objective.c_prior"]),
        ({"c_reg": 2, "c_train": falling(1), "c_prior": falling(1)}, ["objective.c_prior"]),
        ({"c_train": falling(1)}, ["objective.c_prior"]),
        ({"c_reg": falling(1)}, ["objective.c_prior"]),
    ],
)
def test_one_level_says_where_it_does_not_apply(objective: dict[str, Any], paths: list[str]) -> None:
    plugin = registry().of_kind("hypergradients")["one_level"].plugin
    problems: list[Problem] = plugin.conflicts(spec(objective=objective))
    assert [problem.path for problem in problems] == paths
    assert all("one_level" in problem.message and problem.suggestion for problem in problems)
