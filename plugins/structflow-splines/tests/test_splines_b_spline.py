"""B-splines against scipy.interpolate in float64, their sums, their derivatives, and what they do beyond the range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.interpolate import BSpline as ScipyBSpline
from splines_by_hand import drawn, made, weights_of
from torch import Tensor
from torch.func import grad

DEGREES = [0, 1, 2, 3, 4, 5]
LOW, HIGH, INTERVALS = -2.0, 2.0, 8  # the knots, half a unit apart, are exact in binary
WIDE = torch.linspace(-10, 10, 201, dtype=torch.float64)


def curves(degree: int, low: float = LOW, high: float = HIGH, intervals: int = INTERVALS):
    """All B-splines of one input: the function from x (rows,) to (rows, intervals + degree)."""
    function = made("b_spline", (1,), (1,), degree=degree, intervals=intervals, range=[low, high])
    return function.features


def in_scipy(degree: int, low: float = LOW, high: float = HIGH, intervals: int = INTERVALS) -> ScipyBSpline:
    """The same B-splines in scipy: coefficients are the identity, knots go on beyond both ends."""
    knots = low + (high - low) / intervals * np.arange(-degree, intervals + degree + 1)
    return ScipyBSpline(knots, np.eye(intervals + degree), degree)


def assert_equal(got: Tensor, expected: np.ndarray | Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("degree", DEGREES)
def test_equal_to_scipy_within_the_range_at_the_knots_and_at_both_ends(degree: int) -> None:
    x = torch.cat([torch.linspace(LOW, HIGH, INTERVALS + 1), torch.linspace(LOW, HIGH, 333)]).double()
    assert_equal(curves(degree)(x), in_scipy(degree)(x.numpy()))


@pytest.mark.parametrize("degree", DEGREES)
def test_equal_to_scipy_on_a_range_that_is_not_symmetric(degree: int) -> None:
    x = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4.2 - 1.5
    assert_equal(curves(degree, -1.5, 2.7, 7)(x), in_scipy(degree, -1.5, 2.7, 7)(x.numpy()))


@pytest.mark.parametrize("degree", DEGREES)
def test_one_interval(degree: int) -> None:
    x = torch.linspace(LOW, HIGH, 21, dtype=torch.float64)
    assert_equal(curves(degree, intervals=1)(x), in_scipy(degree, intervals=1)(x.numpy()))


@pytest.mark.parametrize("degree", DEGREES)
def test_they_add_up_to_one_everywhere(degree: int) -> None:
    assert_equal(curves(degree)(WIDE).sum(-1), torch.ones_like(WIDE), 1e-11)


def test_degree_one_is_interpolation_between_the_knots() -> None:
    heights = drawn(INTERVALS + 1)
    knots = np.linspace(LOW, HIGH, INTERVALS + 1)
    x = torch.linspace(LOW, HIGH, 101, dtype=torch.float64)
    assert_equal(curves(1)(x) @ heights, np.interp(x.numpy(), knots, heights.numpy()))


@pytest.mark.parametrize("degree", DEGREES)
def test_beyond_the_range_every_spline_follows_its_tangent(degree: int) -> None:
    reference = in_scipy(degree)
    x = torch.tensor([-7.25, LOW - 1e-3, HIGH + 1e-3, 4.5], dtype=torch.float64)
    # A hat has two slopes at a knot; that of its side within the range is scipy's a little way in.
    for rows, end, within in ((x[:2], LOW, LOW + 1e-9), (x[2:], HIGH, HIGH - 1e-9)):
        slope = reference.derivative()(within) if degree else np.zeros(INTERVALS)
        expected = reference(end) + (rows.numpy() - end)[:, None] * slope
        assert_equal(curves(degree)(rows), expected, 1e-6 if degree > 1 else 1e-12)


@pytest.mark.parametrize("degree", DEGREES[1:])
def test_linear_functions_are_splines_also_beyond_the_range(degree: int) -> None:
    """Σ_m ξ_m B_m(x) = x with the Greville abscissae ξ_m = (t_{m+1} + … + t_{m+p}) / p."""
    knots = torch.as_tensor(in_scipy(degree).t)
    abscissae = torch.stack([knots[m + 1 : m + 1 + degree].mean() for m in range(INTERVALS + degree)])
    assert_equal(curves(degree)(WIDE) @ abscissae, WIDE, 1e-11)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("knot", [-1.5, 0.0, 1.0])
def test_derivatives_below_the_degree_are_continuous_and_the_next_one_jumps(degree: int, knot: float) -> None:
    heights, features = drawn(INTERVALS + degree), curves(degree)

    def curve(x: Tensor) -> Tensor:
        return features(x) @ heights

    jumps = []
    for _ in range(degree + 1):
        before, after = (torch.tensor(knot + step, dtype=torch.float64) for step in (-1e-9, 1e-9))
        jumps.append((curve(after) - curve(before)).abs().item())
        curve = grad(curve)
    # Over 2e-9 a derivative moves by that times the next one, which is below 1e4 with knots half a unit apart.
    assert max(jumps[:degree]) < 2e-5
    assert jumps[degree] > 0.1


@pytest.mark.parametrize("degree", [1, 3])
def test_the_gradient_goes_on_beyond_the_range(degree: int) -> None:
    heights, features = drawn(INTERVALS + degree), curves(degree)
    slope = grad(lambda x: features(x) @ heights)
    for far, end in ((-50.0, LOW), (50.0, HIGH)):
        at_end, at_far = (slope(torch.tensor(x, dtype=torch.float64)) for x in (end, far))
        assert_equal(at_far, at_end)
        assert at_far.abs() > 0.01


def test_a_step_function_is_constant_beyond_the_range() -> None:
    heights = drawn(INTERVALS)
    x = torch.tensor([-9.0, LOW, HIGH, 9.0], dtype=torch.float64)
    assert_equal(curves(0)(x) @ heights, heights[[0, 0, -1, -1]])


@pytest.mark.parametrize(("degree", "least", "most"), [(1, 0.5, 1.0), (3, 0.46, 0.5)])
def test_variance_of_a_curve_under_unit_weights(degree: int, least: float, most: float) -> None:
    """Σ_m B_m(x)²: for hats 1 at the knots and ½ between, for cubics (1 + 16 + 1)/36 and 2 (1 + 23²)/48²."""
    squares = curves(degree)(torch.linspace(LOW, HIGH, 1601, dtype=torch.float64)).square().sum(-1)
    assert least - 1e-12 < squares.min().item() < least + 0.001
    assert squares.max().item() == pytest.approx(most, abs=1e-12)


@pytest.mark.parametrize("inputs", [1, 3])
def test_the_whole_function_is_the_sum_over_inputs(inputs: int) -> None:
    function = made("b_spline", (inputs,), (2,), degree=3, intervals=5, range=[-2, 2])
    weights, x = weights_of(function), drawn(7, inputs).clamp(-2, 2)
    reference, coefficients = in_scipy(3, intervals=5), weights["weight"].reshape(inputs, 8, 2).numpy()
    expected = np.tile(weights["bias"].numpy(), (7, 1))
    for i in range(inputs):
        expected += reference(x[:, i].numpy()) @ coefficients[i]
    assert_equal(function.forward(weights, x), expected)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_single_precision_keeps_six_digits(degree: int) -> None:
    x = torch.linspace(-4, 4, 401)
    assert_equal(curves(degree)(x).double(), curves(degree)(x.double()), 2e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 6}, "less than or equal to 5"),
        ({"intervals": 0}, "greater than or equal to 1"),
        ({"range": [3, -3]}, r"got \[3.0, -3.0\]; the first end must lie below the second"),
        ({"range": [1, 1]}, "must lie below"),
        ({"knots": 5}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_options_say_what_is_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made("b_spline", (1,), (1,), **options)
