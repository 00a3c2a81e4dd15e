"""Every built-in plugin keeps what the interface promises about names, options and documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from structflow.plugins import KINDS
from structflow.plugins.registry import Registration, registry

BUILTINS = [
    registration
    for kind in KINDS
    for registration in registry().of_kind(kind).values()
    if registration.plugin.__module__.startswith("structflow.builtin.")
]
REQUIRED: dict[str, dict[str, Any]] = {
    "csv": {"path": "t.csv", "target": "y"},
    "parquet": {"path": "t.parquet", "target": ["y"]},
    "npz": {"path": "t.npz"},
    "zarr": {"path": "t.zarr"},
    "sklearn": {"name": "diabetes"},
    "synthetic": {"rows": 10, "inputs": 1, "formula": "x0"},
}
each_builtin = pytest.mark.parametrize("registration", BUILTINS, ids=lambda r: f"{r.kind}-{r.type}")


def smallest_options(registration: Registration) -> dict[str, Any]:
    return {registration.plugin.key: registration.type, **REQUIRED.get(registration.type, {})}


def test_they_all_load() -> None:
    assert [broken for broken in registry().broken if "structflow" in broken.origin] == []
    loaded = {kind: set(registry().of_kind(kind)) for kind in KINDS}
    assert loaded["basis_functions"] >= {"constant", "linear", "dense", "polynomial", "elementwise", "identity", "zero"}
    assert loaded["likelihoods"] >= {"gaussian", "categorical", "bernoulli", "poisson"}
    assert loaded["data_sources"] >= {"csv", "parquet", "npz", "zarr", "sklearn", "synthetic"}
    assert loaded["regimes"] >= {"enumeration", "evidence"}
    assert loaded["hypergradients"] >= {"one_level"}
    assert loaded["evidence_estimators"] >= {"elbo"}
    assert loaded["structure_distributions"] >= {"gumbel_softmax"}


@each_builtin
def test_it_has_its_own_docstring(registration: Registration) -> None:
    own = vars(registration.plugin).get("__doc__")
    assert own is not None
    assert own.strip()


@each_builtin
def test_its_options_have_a_json_schema(registration: Registration) -> None:
    schema = registration.options.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    key = registration.plugin.key
    assert schema["properties"][key]["const"] == registration.type
    assert schema["description"]


@each_builtin
def test_its_options_refuse_unknown_keys_and_other_names(registration: Registration) -> None:
    smallest = smallest_options(registration)
    registration.options.model_validate(smallest)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        registration.options.model_validate({**smallest, "no_such_key": 1})
    with pytest.raises(ValidationError):
        registration.options.model_validate({**smallest, registration.plugin.key: "another"})


@each_builtin
def test_its_options_survive_json_and_are_immutable(registration: Registration) -> None:
    options = registration.options.model_validate(smallest_options(registration))
    assert registration.options.model_validate_json(options.model_dump_json(by_alias=True)) == options
    with pytest.raises(ValidationError, match="frozen"):
        setattr(options, registration.plugin.key, "another")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_are_finite(number: float) -> None:
    options = registry().of_kind("likelihoods")["gaussian"].options
    with pytest.raises(ValidationError, match="finite"):
        options.model_validate({"type": "gaussian", "noise": number})


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"type": "constant"}, "constant"),
        ({"type": "zero"}, "zero"),
        ({"type": "identity"}, "identity"),
        ({"type": "linear"}, "linear"),
        ({"type": "dense"}, "dense:tanh"),
        ({"type": "dense", "activation": "relu"}, "dense:relu"),
        ({"type": "dense", "rows": [0, 3]}, "dense:tanh[0,3]"),
        ({"type": "elementwise", "function": "sin"}, "elementwise:sin"),
        ({"type": "polynomial", "degree": 3}, "polynomial:3"),
    ],
)
def test_a_basis_function_is_named_by_its_type_and_telling_option(given: dict[str, Any], label: str) -> None:
    registration = registry().of_kind("basis_functions")[given["type"]]
    assert registration.plugin.label(registration.options.model_validate(given)) == label
