"""The keys of the objective: they render to what they were, and the schema takes and refuses what the loader does."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.spec.document import parse_document
from structflow.spec.load import check_document, spec_from_mapping, spec_of
from structflow.spec.render import render_spec
from structflow.spec.schema import json_schema
from structflow.spec.spec_hash import spec_hash
from structflow.spec.validate import validate_data

from .examples import example

NAMES = ("dense:tanh", "dense:relu")
SHARES = st.floats(1e-6, 0.49)
POSITIVE = st.floats(1e-6, 1e6)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={"of": st.sampled_from(["prior", "posterior"]), "smoothing": SHARES},
).flatmap(
    lambda common: st.one_of(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(
            lambda names: {**common, "structure": {"x->h": names}}
        ),
        st.tuples(POSITIVE, POSITIVE, POSITIVE).map(
            lambda s: {**common, "concentration": {"x->h": list(s[:2])}, "temperature": s[2]}
        ),
    )
)
HYPERGRADIENTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("hoag")}, optional={"every": st.integers(1, 99), "tightening": SHARES}),
    st.fixed_dictionaries({"type": st.just("first_order")}, optional={"despite_bias": st.booleans(), "rate": POSITIVE}),
    st.just("one_level"),
)


def loaded(text: str):
    return spec_of(check_document(parse_document(text.encode()), ()))


SCHEMA = jsonschema.Draft202012Validator(json_schema())


@settings(max_examples=40, deadline=None)
@given(
    objective=st.fixed_dictionaries(
        {"against": st.lists(ENTRIES, max_size=3)},
        optional={
            "preset": st.sampled_from(["evidence", "map", "hold_out", "cross_validation", "aic", "bic"]),
            "against_form": st.sampled_from(["mixture", "sum"]),
            "c_comb": st.floats(-9, 9) | st.just({"schedule": "linear", "from": -3, "to": -1, "over": "stages"}),
            "folds": st.integers(2, 1000),
            "held_out": SHARES,
            "threshold": POSITIVE,
        },
    ),
    outer=HYPERGRADIENTS,
    hyperprior=st.none() | st.fixed_dictionaries({"shape": POSITIVE, "scale": POSITIVE}),
    largest=st.none() | POSITIVE,
    kind=st.sampled_from(["normal", "point"]),
)
def test_a_rendered_objective_loads_back_to_an_equal_one(objective, outer, hyperprior, largest, kind):
    """With the schema's consent, through the text that `render` writes, also where keys contradict each other."""
    data = example(
        objective=objective,
        prior={"weights": {"hyperprior": hyperprior} if hyperprior else {}, "structure": {"learned": True}},
        posterior={"weights": {"type": kind}, "structure": {"largest_log_concentration": largest}},
        optimizer={"outer": outer},
    )
    assert SCHEMA.is_valid(data)
    spec, problems = validate_data(data)
    assert spec is not None, problems
    again, problems = validate_data(parse_document(render_spec(spec).encode()).data)
    assert again == spec, problems
    assert again.objective.against == spec.objective.against
    assert len(spec.objective.against) == len(objective["against"])
    assert spec_hash(again) == spec_hash(spec)
    assert render_spec(again) == render_spec(spec)


FULL = {
    "objective": {
        "c_reg": 0.5, "c_train": 2, "c_prior": 4, "c_comb": -3, "against_form": "sum",
        "against": [
            {"of": "posterior", "concentration": {"x->h": [0.5, 2]}, "temperature": 0.3},
            {"structure": {"x->h": ["dense:relu"]}, "smoothing": 0.01},
        ],
    },
    "prior": {
        "weights": {"precision": "per_function", "hyperprior": {"shape": 2, "scale": 0.5}},
        "structure": {"learned": True},
    },
    "posterior": {"structure": {"largest_log_concentration": 4}},
    "optimizer": {"outer": {"type": "hoag", "every": 7}},
    "regime": "evidence",
}  # fmt: skip


def test_what_was_written_is_in_the_rendered_text():
    """Values given, and the defaults of those left out: 0.05 of smoothing, 200 iterations, the prior."""
    spec = spec_from_mapping(example(**FULL))
    first, second = spec.objective.against
    assert (first.of, first.concentration, first.structure) == ("posterior", {"x->h": (0.5, 2.0)}, {})
    assert (first.temperature, first.smoothing) == (0.3, 0.05)
    assert (second.of, second.structure, second.smoothing) == ("prior", {"x->h": ("dense:relu",)}, 0.01)
    assert second.temperature is None
    text = render_spec(spec)
    for part in (
        "c_comb: -3", "against_form: sum", "of: posterior", "smoothing: 0.01", "hyperprior:",
        "largest_log_concentration: 4", "type: hoag", "every: 7", "iterations: 200",
        "criterion: {type: evidence}",
    ):  # fmt: skip
        assert part in text, part
    assert loaded(text) == spec


RIGHT = {"structure": {"x->h": ["dense:relu"]}}
CASES = [
    ("objective", {"against": [RIGHT]}, True),
    ("objective", {"against": [{**RIGHT, "of": "posterior"}]}, True),
    ("objective", {"against": [{**RIGHT, "of": "h"}]}, False),
    ("objective", {"against": [{**RIGHT, "smoothing": 0}]}, False),
    ("objective", {"against": [{**RIGHT, "smoothing": 0.5}]}, False),
    ("objective", {"against": [{"concentration": {"x->h": [1, 2]}, "temperature": 0}]}, False),
    ("objective", {"against": [{"concentration": {"x->h": [1, 0]}}]}, False),
    ("objective", {"against": [{"concentration": {"x->h": [1, 2]}}]}, True),
    ("objective", {"against": [{"structure": {"x->h": "dense:relu"}}]}, False),
    ("objective", {"against": RIGHT}, False),
    ("objective", {"against_form": "product"}, False),
    ("objective", {"preset": "elbo"}, False),
    ("objective", {"preset": "cross_validation", "folds": 1}, False),
    ("objective", {"preset": "cross_validation", "folds": 2}, True),
    ("objective", {"preset": "hold_out", "held_out": 1}, False),
    ("objective", {"preset": "aic", "threshold": -1}, False),
    ("objective", {"c_comb": "-1"}, False),
    ("criterion", "loo", True),
    ("criterion", "elbo", False),
    ("criterion", {"type": "cross_validation", "folds": 1}, False),
    ("criterion", {"type": "cross_validation", "folds": 2}, True),
    ("criterion", {"type": "map", "folds": 2}, False),
    ("criterion", {"type": "hold_out", "held_out": 1}, False),
    ("prior", {"weights": {"hyperprior": {"shape": 1, "scale": 1}}}, True),
    ("prior", {"weights": {"hyperprior": {"shape": 0, "scale": 1}}}, False),
    ("prior", {"weights": {"hyperprior": {"shape": 1}}}, False),
    ("prior", {"weights": {"hyperprior": {"type": "gamma", "shape": 1, "scale": 1}}}, False),
    ("posterior", {"weights": {"type": "delta"}}, False),
    ("posterior", {"structure": {"largest_log_concentration": 0}}, False),
    ("optimizer", {"outer": "hoag"}, True),
    ("optimizer", {"outer": {"type": "hoag", "tolerance": 1}}, False),
    ("optimizer", {"outer": {"type": "first_order", "despite_bias": True}}, True),
    ("optimizer", {"outer": {"type": "hoag", "despite_bias": True}}, False),
    ("optimizer", {"outer": "generous"}, False),
    ("regime", {"type": "enumeration", "form": "repulsive", "visits": 0}, False),
    ("regime", {"type": "growth", "form": "continous"}, False),
    ("regime", {"type": "evidence", "open": {"x->h": ["dense:relu"]}}, True),
]


@pytest.mark.parametrize(("section", "value", "valid"), CASES, ids=lambda value: str(value)[:60])
def test_the_schema_accepts_what_the_loader_accepts(section, value, valid):
    data = example(**{section: value})
    spec, problems = validate_data(data)
    assert (spec is not None) == valid, problems
    assert SCHEMA.is_valid(data) == valid
    assert all(problem.path.startswith(section) for problem in problems)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "either"),
        ({**RIGHT, "concentration": {"x->h": [1, 2]}}, "either"),
        ({**RIGHT, "temperature": 0.5}, "not relaxed"),
    ],
)
def test_an_entry_is_a_structure_or_relaxed(entry, words):
    """Neither, or both, or a structure with a temperature: only the loader says so."""
    _, problems = validate_data(example(objective={"against": [entry]}))
    (problem,) = problems
    assert problem.path == "objective.against[0]"
    assert words in problem.message


@pytest.mark.parametrize("name", ["c_reg", "c_train", "c_prior"])
@pytest.mark.parametrize("value", [-1, {"schedule": "linear", "from": 1, "to": -1}])
def test_factors_are_not_negative(name, value):
    """Their ranges, whether numbers or schedules, are the loader's to check; c_comb may have either sign."""
    spec, problems = validate_data(example(objective={name: value}))
    assert spec is None
    assert {problem.path.removeprefix("objective.").partition(".")[0] for problem in problems} == {name}
    assert validate_data(example(objective={"c_comb": value}))[0] is not None
