"""`--set key=value` and the overrides of stages."""

from __future__ import annotations

import pytest

from structflow.errors import SpecError
from structflow.spec.load import spec_from_mapping
from structflow.spec.overrides import apply_overrides, flattened, parse_override

from .examples import example


def changed(data, *texts):
    return apply_overrides(data, [parse_override(text) for text in texts])[0]


@pytest.mark.parametrize("key", ["a.0.b", "a[0].b", "a.[0].b", "a[0]['b']"])
def test_lists_take_positions_in_either_form(key):
    if key == "a.[0].b":
        with pytest.raises(SpecError):
            parse_override(f"{key}=2")
        return
    assert changed({"a": [{"b": 1}]}, f"{key}=2") == {"a": [{"b": 2}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("any", "any"), ("[1, 2]", [1, 2]), ("{type: x}", {"type": "x"}), ("", None), ("a=b", "a=b")],
)
def test_values_are_yaml(text, value):
    assert changed({}, f"a.b={text}") == {"a": {"b": value}}


def test_the_data_stay_as_they_are():
    data = {"a": {"b": [1, 2]}}
    assert changed(data, "a.b[1]=3", "a.c=4") == {"a": {"b": [1, 3], "c": 4}}
    assert data == {"a": {"b": [1, 2]}}


def test_a_key_with_dots_is_quoted():
    assert changed({"nodes": {"h.1": {}}}, "nodes['h.1'].shape=3") == {"nodes": {"h.1": {"shape": 3}}}


def test_a_bare_word_takes_keys():
    assert changed({"regime": "enumeration"}, "regime.max_structures=3") == {
        "regime": {"type": "enumeration", "max_structures": 3}
    }


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a", "isn't key=value"),
        ("=1", "isn't key=value"),
        ("a b=1", "isn't key=value"),
        ("a..b=1", "isn't key=value"),
        ("a=[1", "isn't YAML"),
        ("a=!!python/none x", "tags"),
        ("a=*x", "aliases"),
        ("list[2]=1", "has 2 elements"),
        ("list.first=1", "expected a position"),
        ("list[0].b=1", "has no keys"),
        ("list[99999999999]=1", "isn't key=value"),
    ],
)
def test_a_wrong_override_is_named(text, fragment):
    with pytest.raises(SpecError) as raised:
        changed({"list": [1, 2]}, text)
    assert fragment in raised.value.problems[0].message
    assert text in raised.value.problems[0].message


@pytest.mark.parametrize(
    ("text", "path", "fragment"),
    [
        ("optimizer.inner.stps=3", "optimizer.inner.stps", "unknown key 'stps'"),
        ("optimiser.inner.steps=3", "optimiser", "unknown key 'optimiser'"),
        ("objective.c_reg=fast", "objective.c_reg", "expected a number"),
        ("model.edges[0].to=k", "model.edges[0].to", "no node 'k'"),
    ],
)
def test_a_problem_that_an_override_makes_names_it(text, path, fragment):
    with pytest.raises(SpecError) as raised:
        spec_from_mapping(example(), [text])
    problem = next(problem for problem in raised.value.problems if problem.path == path)
    assert fragment in problem.message
    assert f"--set {text}" in problem.message
    assert problem.line is None


def test_overrides_reach_the_spec():
    spec = spec_from_mapping(example(), ["model.edges.0.choose=any", "model.edges[0].min=1", "optimizer.inner.lr=1e-2"])
    assert (spec.model.edges[0].space, spec.model.edges[0].min, spec.optimizer.inner.lr) == ("any", 1, 0.01)


def test_stages_merge_deeply_and_replace_what_is_another_thing():
    data = {
        "optimizer": {"inner": {"lr": {"schedule": "linear", "from": 1, "to": 2}, "steps": 5}, "outer": {"type": "a"}}
    }
    block = {
        "optimizer": {"inner": {"lr": {"schedule": "constant", "from": 3}}, "outer": {"type": "b", "k": 1}},
        "optimizer.restarts": 2,
    }
    merged, _ = apply_overrides(data, flattened(block, "stages[0]"))
    assert merged == {
        "optimizer": {
            "inner": {"lr": {"schedule": "constant", "from": 3}, "steps": 5},
            "outer": {"type": "b", "k": 1},
            "restarts": 2,
        }
    }
    same = {"optimizer": {"inner": {"lr": {"schedule": "linear", "to": 4}}}}
    merged, _ = apply_overrides(data, flattened(same, "stages[0]"))
    assert merged["optimizer"]["inner"]["lr"] == {"schedule": "linear", "from": 1, "to": 4}
