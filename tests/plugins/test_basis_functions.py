"""Built-in basis functions: shapes, formulas, and the variance of those that are linear in their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction
from structflow.plugins.registry import registry

ROWS, MEMBERS = 6, 3
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}

CASES: list[tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    ({"type": "constant"}, (3,), (2,)),
    ({"type": "constant"}, (2, 2), (4, 1)),
    ({"type": "zero"}, (3,), (2, 2)),
    ({"type": "identity"}, (3,), (3,)),
    ({"type": "elementwise", "function": "gaussian"}, (2, 3), (2, 3)),
    ({"type": "linear"}, (3,), (2,)),
    ({"type": "linear", "bias": False}, (3,), (2,)),
    ({"type": "dense", "activation": "softplus"}, (3,), (2,)),
    ({"type": "dense", "rows": [2, 0]}, (3,), (2,)),
    ({"type": "dense", "rows": [2, 0], "share": "w"}, (3,), (2,)),
    ({"type": "dense", "bias": False}, (3,), (2,)),
    ({"type": "polynomial", "degree": 0}, (3,), (2,)),
    ({"type": "polynomial", "degree": 1}, (3,), (2,)),
    ({"type": "polynomial", "degree": 4}, (3,), (2,)),
    ({"type": "polynomial", "degree": 4, "family": "legendre"}, (1,), (2,)),
    ({"type": "polynomial", "degree": 4, "family": "hermite"}, (2,), (1,)),
]
each_case = pytest.mark.parametrize(("given", "in_shape", "out_shape"), CASES, ids=lambda value: str(value))


def make(given: dict[str, Any], in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> BasisFunction:
    registration = registry().of_kind("basis_functions")[given["type"]]
    function: BasisFunction = registration.plugin(registration.options.model_validate(given), in_shape, out_shape)
    return function


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights_of(function: BasisFunction, *leading: int, seed: int = 1) -> dict[str, Tensor]:
    shapes = function.weight_shapes(function.options, function.in_shape, function.out_shape)
    return {name: draw(*leading, *shape, seed=seed + index) for index, (name, shape) in enumerate(shapes.items())}


@each_case
def test_forward_keeps_the_shapes_and_the_dtype(given: Any, in_shape: Any, out_shape: Any) -> None:
    function = make(given, in_shape, out_shape)
    output = function.forward(weights_of(function), draw(ROWS, *in_shape))
    assert output.shape == (ROWS, *out_shape)
    assert output.dtype == torch.float64
    assert bool(torch.isfinite(output).all())


@each_case
def test_members_under_vmap_equal_a_loop(given: Any, in_shape: Any, out_shape: Any) -> None:
    function = make(given, in_shape, out_shape)
    weights, x = weights_of(function, MEMBERS), draw(MEMBERS, ROWS, *in_shape)
    together = vmap(function.forward)(weights, x)
    alone = [function.forward({name: value[m] for name, value in weights.items()}, x[m]) for m in range(MEMBERS)]
    torch.testing.assert_close(together, torch.stack(alone), **TOLERANCE)


@each_case
def test_rows_do_not_mix(given: Any, in_shape: Any, out_shape: Any) -> None:
    function = make(given, in_shape, out_shape)
    weights, x = weights_of(function), draw(ROWS, *in_shape)
    torch.testing.assert_close(function.forward(weights, x[1:3]), function.forward(weights, x)[1:3], **TOLERANCE)


@each_case
def test_start_gives_finite_means_of_the_same_shapes(given: Any, in_shape: Any, out_shape: Any) -> None:
    function = make(given, in_shape, out_shape)
    normals = weights_of(function)
    means = function.start(normals)
    assert {name: value.shape for name, value in means.items()} == {n: v.shape for n, v in normals.items()}
    assert all(bool(torch.isfinite(value).all()) for value in means.values())


@each_case
def test_what_is_declared_linear_is(given: Any, in_shape: Any, out_shape: Any) -> None:
    """g(x; a·u + b·v) = a·g(x; u) + b·g(x; v), and the variance is that of independent weights."""
    function = make(given, in_shape, out_shape)
    first, second, x = weights_of(function, seed=1), weights_of(function, seed=9), draw(ROWS, *in_shape)
    if not function.linear_in_weights:
        with pytest.raises(TypeError, match="no output_variance"):
            function.output_variance(first, x)
        return
    if not first:  # without weights nothing varies
        return
    mixed = {name: 2 * first[name] - 3 * second[name] for name in first}
    expected = 2 * function.forward(first, x) - 3 * function.forward(second, x)
    torch.testing.assert_close(function.forward(mixed, x), expected, **TOLERANCE)

    variances = {name: value.square() + 0.1 for name, value in first.items()}
    by_weight = torch.zeros(ROWS, *out_shape, dtype=torch.float64)
    for name, variance in variances.items():
        for index in np.ndindex(*variance.shape):
            unit = {other: torch.zeros_like(value) for other, value in variances.items()}
            unit[name][index] = 1.0
            by_weight += variance[index] * function.forward(unit, x).square()
    torch.testing.assert_close(function.output_variance(variances, x), by_weight, **TOLERANCE)


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
