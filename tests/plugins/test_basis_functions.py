"""Built-in basis functions: their formulas, and what they say of shapes and options that don't fit.

What every basis function promises is checked by the conformance kit, in tests/testing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction
from structflow.plugins.registry import registry

ROWS = 6
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def make(given: dict[str, Any], in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> BasisFunction:
    registration = registry().of_kind("basis_functions")[given["type"]]
    function: BasisFunction = registration.plugin(registration.options.model_validate(given), in_shape, out_shape)
    return function


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights_of(function: BasisFunction, seed: int = 1) -> dict[str, Tensor]:
    shapes = function.weight_shapes(function.options, function.in_shape, function.out_shape)
    return {name: draw(*shape, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize(
    ("given", "in_shape", "out_shape", "words"),
    [
        ({"type": "linear"}, (2, 2), (1,), r"linear maps a vector to a vector; got \[2, 2\] to \[1\]"),
        ({"type": "linear"}, (2,), (1, 3), r"got \[2\] to \[1, 3\]"),
        ({"type": "dense"}, (), (1,), r"dense maps a vector to a vector; got \[\] to \[1\]"),
        ({"type": "dense", "rows": [0, 3, 5]}, (3,), (1,), r"dense.rows \[3, 5\] don't exist: the input has 3 rows"),
        ({"type": "polynomial"}, (3, 1), (1,), "polynomial maps a vector to a vector"),
        ({"type": "polynomial", "degree": 0}, (3, 1), (1,), "polynomial maps a vector to a vector"),
        ({"type": "identity"}, (3,), (2,), r"identity keeps the shape; got \[3\] to \[2\]"),
        ({"type": "elementwise"}, (3,), (1, 3), r"elementwise keeps the shape; got \[3\] to \[1, 3\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(given: Any, in_shape: Any, out_shape: Any, words: str) -> None:
    registration = registry().of_kind("basis_functions")[given["type"]]
    options = registration.options.model_validate(given)
    with pytest.raises(ShapeMismatch, match=words):
        registration.plugin.weight_shapes(options, in_shape, out_shape)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "dense", "activation": "tanhh"}, "Input should be 'tanh'"),
        ({"type": "dense", "rows": []}, "at least 1 item"),
        ({"type": "dense", "rows": [-1]}, "greater than or equal to 0"),
        ({"type": "dense", "rows": [1, 1]}, "rows are listed twice"),
        ({"type": "polynomial", "degree": -1}, "greater than or equal to 0"),
        ({"type": "polynomial", "degree": 2.5}, "valid integer"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        registry().of_kind("basis_functions")[given["type"]].options.model_validate(given)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("tanh", torch.tanh),
        ("relu", torch.relu),
        ("sigmoid", torch.sigmoid),
        ("softplus", lambda x: (1 + x.exp()).log()),
        ("gelu", lambda x: x * torch.special.ndtr(x)),
        ("silu", lambda x: x * torch.sigmoid(x)),
        ("elu", functional.elu),
        ("sin", torch.sin),
        ("cos", torch.cos),
        ("exp", torch.exp),
        ("square", torch.square),
        ("abs", torch.abs),
        ("gaussian", lambda x: (-x * x / 2).exp()),
    ],
)
def test_activations(name: str, formula: Any) -> None:
    x = draw(ROWS, 3)
    elementwise = make({"type": "elementwise", "function": name}, (3,), (3,))
    torch.testing.assert_close(elementwise.forward({}, x), formula(x), **TOLERANCE)
    dense = make({"type": "dense", "activation": name}, (3,), (2,))
    weights = weights_of(dense)
    expected = formula(x @ weights["weight"] + weights["bias"])
    torch.testing.assert_close(dense.forward(weights, x), expected, **TOLERANCE)


@pytest.mark.parametrize("share", [None, "w"])
def test_rows_left_out_of_dense_act_as_weights_of_zero(share: str | None) -> None:
    rows, x = [2, 0], draw(ROWS, 4)
    masked = make({"type": "dense", "rows": rows, "share": share}, (4,), (3,))
    weights = weights_of(masked)
    assert weights["weight"].shape == ((2, 3) if share is None else (4, 3))
    full = torch.zeros(4, 3, dtype=torch.float64)
    full[rows] = weights["weight"] if share is None else weights["weight"][rows]
    plain = make({"type": "dense"}, (4,), (3,))
    expected = plain.forward({"weight": full, "bias": weights["bias"]}, x)
    torch.testing.assert_close(masked.forward(weights, x), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("power", lambda k, x: x**k),
        ("legendre", scipy.special.eval_legendre),
        ("hermite", lambda k, x: scipy.special.eval_hermitenorm(k, x) / scipy.special.factorial(k) ** 0.5),
    ],
)
def test_families_of_polynomials(family: str, value: Any) -> None:
    degree, x = 6, draw(ROWS, 2)
    function = make({"type": "polynomial", "degree": degree, "family": family}, (2,), (3,))
    weights = weights_of(function)
    features = [value(k, x[:, column].numpy()) for column in range(2) for k in range(1, degree + 1)]
    expected = np.stack(features, axis=-1) @ weights["weight"].numpy() + weights["bias"].numpy()
    np.testing.assert_allclose(function.forward(weights, x).numpy(), expected, rtol=1e-9, atol=1e-9)
