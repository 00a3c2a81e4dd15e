"""The spec written out in full, and the JSON schema: both agree with the loader."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.errors import SpecError
from structflow.spec.document import parse_document
from structflow.spec.load import check_document, spec_from_mapping, spec_of
from structflow.spec.render import SpecDumper, render_spec
from structflow.spec.schema import json_schema
from structflow.spec.spec_hash import spec_hash
from structflow.spec.validate import validate_data

from .examples import example

TRICKY = st.sampled_from(
    ["1e-3", "yes", "null", "0x1", "~", "true", "1:30", " a", "a: b", "# c", "é", "- x", "'", '"', "", "=", "<<", ".5"]
)


def loaded(text: str):
    return spec_of(check_document(parse_document(text.encode()), ()))


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(1e-300, 1e300),
    precision=st.floats(1e-9, 1e9) | st.sampled_from(["shared", "per_function", "per_parameter"]),
    shape=st.integers(1, 9) | st.just({"choose": [1, [2], [3]]}),
    choose=st.sampled_from(["one", "any", "all", None]),
    seed=st.integers(0, 2**63 - 1),
    swept=st.lists(st.floats(1e-9, 10), min_size=1, max_size=3),
    names=st.lists(
        st.sampled_from(["1e-3", "yes", "null", "0x1", "~", "a: b", "# c", "é", "- x", "'", ".5"]),
        min_size=2,
        max_size=2,
        unique=True,
    ),
)
def test_a_rendered_spec_loads_back_to_an_equal_one(rate, precision, shape, choose, seed, swept, names):
    data = example(
        seed=seed,
        prior={"weights": {"precision": precision}},
        optimizer={"inner": {"lr": {"schedule": "linear", "from": rate, "to": 1}}},
        sweep=[{"optimizer.inner.lr": swept}],
        stages=[{"optimizer": {"inner": {"steps": 3}}}],
    )
    data["model"]["nodes"]["h"]["shape"] = shape
    data["model"]["edges"][0] |= {"choose": choose}
    for basis, name in zip(data["model"]["edges"][0]["basis"], names, strict=True):
        basis["name"] = name
    spec = spec_from_mapping(data)
    again = loaded(render_spec(spec))
    assert again == spec
    assert spec_hash(again) == spec_hash(spec)
    assert render_spec(again) == render_spec(spec)


@given(
    st.recursive(
        TRICKY
        | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
        | st.floats(allow_nan=False)
        | st.integers()
        | st.booleans()
        | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    )
)
def test_what_is_dumped_reads_back(value):
    text = yaml.dump(
        {"a": value}, Dumper=SpecDumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120
    )
    assert parse_document(text.encode()).data == {"a": value}


def test_the_rendered_spec_shows_every_default_in_the_order_of_the_models():
    text = render_spec(spec_from_mapping(example()))
    sections = [line.partition(":")[0] for line in text.splitlines() if line[0].isalpha()]
    assert sections[:7] == ["structflow", "name", "seed", "data", "model", "prior", "posterior"]
    assert "max_structures: 10000" in text
    assert "choose: all" in text
    assert "{type: dense, " in text


CASES = [
    ("seed", 0, True),
    ("seed", 1.0, True),
    ("seed", True, False),
    ("seed", "1", False),
    ("structflow", 2, False),
    ("structflow", True, False),
    ("name", "a/b", False),
    ("regime", "evidence", True),
    ("regime", "evidenc", False),
    ("regime", {"max_structures": 3}, True),
    ("optimizer", {"outer": "one_level"}, True),
    ("optimizer", {"outer": {}}, True),
    ("optimizer", {"restarts": 0}, False),
    ("objective", {"c_reg": {"schedule": "constant", "from": 1}}, True),
    ("objective", {"c_reg": {"schedule": "constant", "start": 1}}, False),
    ("objective", {"c_reg": "1"}, False),
    ("objective", None, False),
    ("compute", {"compile": True}, True),
    ("compute", {"compile": 1}, False),
    ("compute", {"compile": "yes"}, False),
    ("evidence", {"estimators": ["elbo"]}, True),
    ("evidence", {"estimators": [{}]}, False),
    ("robustness", {"inputs": [0, 0.5], "samples": 3}, True),
    ("robustness", {"weights": [-1]}, False),
    ("robustness", {"weights": [1, 1.0]}, False),
    ("robustness", {"weights": 1}, False),
    ("data", "csv", False),
    ("data", {"source": "csv", "path": "a", "target": ["b"]}, True),
    ("data", {"source": "csv", "path": "a"}, False),
    ("data", {"path": "a", "target": ["b"]}, False),
    ("prior", {"weights": {"precision": 2}}, True),
    ("prior", {"weights": {"precision": 0}}, False),
    ("prior", {"structure": {"temperature": 1}}, True),
    ("sweep", [{"a": [1]}], True),
    ("sweep", [{"a": 1}], False),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}]}, True),
    ("model", {"edges": [{"source": "x", "to": "y", "basis": ["linear"]}]}, False),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": [{"bias": True}]}]}, False),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": [{"type": "linear", "bias": 1}]}]}, False),
    ("model", {"edges": []}, False),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}], "likelihood": {"noise": 0.5}}, True),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}], "nodes": {"h": {"shape": 5}}}, True),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}], "nodes": {"h": {"shape": []}}}, False),
    ("model", {"edges": [{"from": "x", "to": "y", "basis": ["linear"]}], "nodes": {"h->": {"shape": 5}}}, False),
    ("unknown", 1, False),
]


def test_the_schema_is_one_of_draft_2020_12():
    schema = json_schema()
    assert list(schema)[:2] == ["$schema", "$id"]
    assert schema["title"] == "structflow spec, version 1"
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("section", "value", "valid"), CASES, ids=lambda value: str(value)[:40])
def test_the_schema_accepts_what_the_loader_accepts(section, value, valid):
    data = example(**{section: value})
    spec, problems = validate_data(data)
    assert (spec is not None) == valid, problems
    jsonschema = pytest.importorskip("jsonschema")
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) == valid


@pytest.mark.parametrize(("section", "value"), [case[:2] for case in CASES if not case[2]], ids=str)
def test_an_invalid_section_is_refused_for_what_it_holds(section, value):
    with pytest.raises(SpecError) as raised:
        spec_from_mapping(example(**{section: value}))
    assert all(problem.path.startswith(section) for problem in raised.value.problems)
