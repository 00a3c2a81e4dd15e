"""Fourier series, radial and rational functions against plain loops in numpy; what all functions have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from splines_by_hand import as_numpy, drawn, made, weights_of
from torch.func import jacrev

from structflow.errors import ShapeMismatch
from structflow_splines.rational import scaled_powers

ROWS = 5
EVERY_TYPE = ["b_spline", "fourier", "radial", "rational"]
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def assert_equal(got: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected), **TOLERANCE)


@pytest.mark.parametrize(("inputs", "harmonics", "half_range"), [(1, 1, 3.0), (3, 4, 0.7), (2, 7, math.pi)])
def test_fourier(inputs: int, harmonics: int, half_range: float) -> None:
    function = made("fourier", (inputs,), (2,), harmonics=harmonics, half_range=half_range)
    weights, x = weights_of(function), 3 * drawn(ROWS, inputs)
    coefficients = weights["weight"].numpy().reshape(inputs, 2, harmonics, 2)
    expected = np.tile(weights["bias"].numpy(), (ROWS, 1))
    for row in range(ROWS):
        for i in range(inputs):
            for k in range(1, harmonics + 1):
                angle = k * np.pi * x[row, i].item() / half_range
                both = coefficients[i, 0, k - 1] * np.cos(angle) + coefficients[i, 1, k - 1] * np.sin(angle)
                expected[row] += both / np.sqrt(harmonics)
    assert_equal(function.forward(weights, x), expected)


def test_fourier_repeats_itself_and_has_unit_variance() -> None:
    function = made("fourier", (1,), (1,), harmonics=6, half_range=2.5)
    x = drawn(ROWS)
    assert_equal(function.features(x + 5.0), function.features(x).numpy())
    assert_equal(function.features(x).square().sum(-1), np.ones(ROWS))


@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (3, 4)])
def test_radial(inputs: int, units: int) -> None:
    function = made("radial", (inputs,), (2,), units=units)
    weights, x = weights_of(function), drawn(ROWS, inputs).numpy()
    w = as_numpy(weights)
    expected = np.tile(w["bias"], (ROWS, 1))
    for row in range(ROWS):
        for m in range(units):
            s = np.sqrt(inputs) * np.exp(w["log_width"][m])
            distance = np.linalg.norm(x[row] - w["centre"][m])
            expected[row] += w["weight"][m] * np.exp(-(distance**2) / (2 * s**2))
    assert_equal(function.forward(weights, torch.as_tensor(x)), expected)


def test_radial_scale_and_decay() -> None:
    """At ‖x − C‖² = 2 · inputs a bump of width ρ = 0 is exp(−1) of its height; far away only b is left."""
    function = made("radial", (4,), (1,), units=1)
    weights = {
        "weight": torch.ones(1, 1).double(),
        "bias": torch.full((1,), 0.25).double(),
        "centre": torch.zeros(1, 4).double(),
        "log_width": torch.zeros(1).double(),
    }
    x = torch.tensor([[0.0] * 4, [2**0.5] * 4, [100.0] * 4], dtype=torch.float64)
    assert_equal(function.forward(weights, x), np.array([[1.25], [0.25 + math.exp(-1)], [0.25]]))


@pytest.mark.parametrize(("inputs", "m", "n"), [(1, 1, 1), (3, 3, 2), (2, 5, 4), (2, 2, 3)])
def test_rational(inputs: int, m: int, n: int) -> None:
    function = made("rational", (inputs,), (2,), numerator=m, denominator=n)
    weights, x = weights_of(function), drawn(ROWS, inputs)
    w = as_numpy(weights)
    double_factorials = [1, 1, 3, 15, 105, 945]  # (2j − 1)!! for j = 0 … 5
    z = x.numpy() @ w["weight"] + w["bias"]
    above = z + sum(w["numerator"][j] * z**j / np.sqrt(double_factorials[j]) for j in range(m + 1))
    below = sum(w["denominator"][k - 1] * z**k / np.sqrt(double_factorials[k]) for k in range(1, n + 1))
    assert_equal(function.forward(weights, x), above / (1 + np.abs(below)))


def test_rational_is_linear_in_the_middle_of_its_prior() -> None:
    function = made("rational", (3,), (2,))
    weights, x = weights_of(function), drawn(ROWS, 3)
    weights = {**weights, **{name: torch.zeros_like(weights[name]) for name in ("numerator", "denominator")}}
    assert_equal(function.forward(weights, x), (x @ weights["weight"] + weights["bias"]).numpy())


def test_rational_has_no_poles() -> None:
    """z / (1 − 2z) has a pole at ½; the safe z / (1 + |−2z|) stays within ±½."""
    function = made("rational", (1,), (1,), numerator=1, denominator=1)
    weights = {name: torch.zeros_like(weight) for name, weight in weights_of(function).items()}
    weights = {**weights, "weight": weights["weight"] + 1, "denominator": weights["denominator"] - 2}
    z = torch.linspace(-2, 2, 4001, dtype=torch.float64)[:, None]
    values = function.forward(weights, z)
    assert_equal(values, (z / (1 + 2 * z.abs())).numpy())
    assert values.abs().max() < 0.5


def test_rational_powers_have_unit_mean_square() -> None:
    """Under z ~ N(0, 1), by Gauss–Hermite quadrature with 12 nodes, exact for the powers up to 23."""
    nodes, quadrature = np.polynomial.hermite_e.hermegauss(12)
    squares = scaled_powers(torch.as_tensor(nodes), 9).square().numpy()
    mean_squares = quadrature @ squares / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(mean_squares, np.ones(10), rtol=1e-10)


@pytest.mark.parametrize("type_name", ["b_spline", "fourier"])
@pytest.mark.parametrize("inputs", [1, 3])
def test_variance_of_what_is_linear_in_its_weights(type_name: str, inputs: int) -> None:
    """Var g = Σ (∂g/∂w)² Var(w) for independent weights, from the Jacobian by automatic differentiation."""
    function = made(type_name, (inputs,), (2,))
    weights, x = weights_of(function), 2 * drawn(ROWS, inputs)
    variances = {name: weight.square() for name, weight in weights_of(function, seed=7).items()}
    jacobians = jacrev(lambda w: function.forward(w, x))(weights)
    expected = sum((jacobians[name].square() * variances[name]).flatten(2).sum(2) for name in weights)
    assert function.linear_in_weights
    torch.testing.assert_close(function.output_variance(variances, x), expected, **TOLERANCE)


@pytest.mark.parametrize("type_name", EVERY_TYPE)
def test_starts_on_the_scale_of_standardised_data(type_name: str) -> None:
    """Over many draws of the start, outputs for standard normal inputs have a mean square near 1 (0.1 to 2)."""
    function = made(type_name, (6,), (400,))
    started = function.start(weights_of(function))
    mean_square = function.forward(started, drawn(200, 6)).square().mean().item()
    assert 0.1 < mean_square < 2.0


@pytest.mark.parametrize("type_name", EVERY_TYPE)
@pytest.mark.parametrize(("in_shape", "out_shape"), [((2, 3), (2,)), ((3,), (2, 2))])
def test_only_vectors(type_name: str, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
    function = made(type_name, in_shape, out_shape)
    with pytest.raises(ShapeMismatch, match=f"{type_name} maps a vector to a vector; got .* to "):
        function.weight_shapes(function.options, in_shape, out_shape)


@pytest.mark.parametrize(
    ("type_name", "options"),
    [
        ("fourier", {"harmonics": 0}),
        ("fourier", {"half_range": 0.0}),
        ("radial", {"units": 0}),
        ("rational", {"numerator": 0}),
        ("rational", {"denominator": 10}),
    ],
)
def test_options_out_of_bounds_are_refused(type_name: str, options: dict[str, Any]) -> None:
    (key,) = options
    with pytest.raises(ValidationError, match=key):
        made(type_name, (1,), (1,), **options)


def test_labels_tell_functions_of_one_kind_apart() -> None:
    labels = {
        made(type_name, (1,), (1,), **options).label(made(type_name, (1,), (1,), **options).options)
        for type_name, options in [
            ("b_spline", {}),
            ("b_spline", {"degree": 1}),
            ("b_spline", {"intervals": 4}),
            ("fourier", {}),
            ("radial", {"units": 3}),
            ("rational", {}),
        ]
    }
    assert labels == {"b_spline:3,8", "b_spline:1,8", "b_spline:3,4", "fourier:5", "radial:3", "rational:3,2"}
