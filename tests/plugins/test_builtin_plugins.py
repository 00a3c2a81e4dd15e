"""The built-in plugins are there, refuse numbers that aren't, and have the labels that specs rely on.

What every plugin promises is checked by the conformance kit, in tests/testing.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from structflow.plugins import KINDS
from structflow.plugins.registry import registry


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
