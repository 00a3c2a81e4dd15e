"""Every function against torch.nn.functional called directly, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import structflow_vision.hooks as hooks
from structflow.plugins import BasisFunction, Shape

ROWS = 5
CLASSES = {plugin.type: plugin for plugin in hooks.basis_functions()}


def made(
    name: str, in_shape: Shape, out_shape: Shape, **options: Any
) -> tuple[BasisFunction, dict[str, Tensor], Tensor]:
    """A function, standard normal weights for it and rows of input, all from one fixed seed."""
    plugin = CLASSES[name]
    checked = plugin.Options(**options)
    generator = torch.Generator().manual_seed(7)
    shapes = plugin.weight_shapes(checked, in_shape, out_shape)
    weights = {key: torch.randn(shape, generator=generator, dtype=torch.float64) for key, shape in shapes.items()}
    x = torch.randn((ROWS, *in_shape), generator=generator, dtype=torch.float64)
    return plugin(checked, in_shape, out_shape), weights, x


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("out", "stride"), [((4, 6, 7), 1), ((4, 3, 4), 2), ((4, 2, 3), 3)])
def test_convolution_is_conv2d_of_the_activated_input(size: int, out: Shape, stride: int) -> None:
    function, weights, x = made("convolution", (3, 6, 7), out, size=size)
    kernel = weights["weight"].permute(3, 0, 1, 2)
    expected = functional.conv2d(x.relu(), kernel, weights["bias"], stride=stride, padding=size // 2)
    assert expected.shape == (ROWS, *out)
    close(function.forward(weights, x), expected)


def test_convolution_by_its_definition() -> None:
    """One output pixel by the sum in the docstring: no function of torch.nn."""
    function, weights, x = made("convolution", (2, 4, 4), (3, 4, 4), activation="none")
    row, out, i, j = 1, 2, 0, 3
    total = float(weights["bias"][out])
    for channel in range(2):
        for di in range(3):
            for dj in range(3):
                r, c = i + di - 1, j + dj - 1
                if 0 <= r < 4 and 0 <= c < 4:
                    total += float(weights["weight"][channel, di, dj, out] * x[row, channel, r, c])
    assert float(function.forward(weights, x)[row, out, i, j]) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize(("out", "stride"), [((4, 8, 9), 1), ((4, 4, 5), 2)])
def test_dilated_convolution_is_conv2d_with_gaps(dilation: int, out: Shape, stride: int) -> None:
    function, weights, x = made("dilated_convolution", (3, 8, 9), out, dilation=dilation, activation="tanh")
    kernel = weights["weight"].permute(3, 0, 1, 2)
    expected = functional.conv2d(x.tanh(), kernel, weights["bias"], stride=stride, padding=dilation, dilation=dilation)
    close(function.forward(weights, x), expected)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(("out", "stride"), [((4, 6, 6), 1), ((4, 3, 3), 2)])
def test_separable_convolution_is_one_conv2d_with_a_kernel_of_low_rank(size: int, out: Shape, stride: int) -> None:
    """K_{oc··} = P_{co} D_{··c}: the two steps are one full convolution, which is what is called here."""
    function, weights, x = made("separable_convolution", (3, 6, 6), out, size=size)
    kernel = torch.einsum("co,ijc->ocij", weights["pointwise"], weights["depthwise"])
    expected = functional.conv2d(x.relu(), kernel, weights["bias"], stride=stride, padding=size // 2)
    close(function.forward(weights, x), expected)


@pytest.mark.parametrize(("out", "stride"), [((3, 5, 8), 1), ((3, 3, 4), 2)])
def test_pools_are_those_of_torch(out: Shape, stride: int) -> None:
    largest, none, x = made("max_pool", (3, 5, 8), out)
    close(largest.forward(none, x), functional.max_pool2d(x, 3, stride, 1))
    average, none, x = made("average_pool", (3, 5, 8), out)
    close(average.forward(none, x), functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False))


def test_average_leaves_out_what_is_outside_the_image() -> None:
    average, none, _ = made("average_pool", (1, 4, 4), (1, 4, 4))
    ones = torch.ones((1, 1, 4, 4), dtype=torch.float64)
    close(average.forward(none, ones), ones)


def test_heads_are_affine_maps_of_all_numbers_and_of_channel_means() -> None:
    flat, weights, x = made("flat_linear", (3, 2, 4), (5,))
    close(flat.forward(weights, x), x.relu().reshape(ROWS, 24) @ weights["weight"] + weights["bias"])
    pooled, weights, x = made("pooled_linear", (3, 2, 4), (5,), activation="none")
    close(
        pooled.forward(weights, x),
        functional.adaptive_avg_pool2d(x, 1)[..., 0, 0] @ weights["weight"] + weights["bias"],
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("name", "out"),
    [("convolution", (2, 2, 2)), ("dilated_convolution", (2, 4, 4)), ("flat_linear", (3,)), ("pooled_linear", (3,))],
)
def test_output_variance_is_the_sum_over_weights_of_squared_derivatives(name: str, out: Shape, bias: bool) -> None:
    """Var g = Σ_i (∂g/∂w_i)² Var w_i, exact for a function linear in w; derivatives by automatic differentiation."""
    function, weights, x = made(name, (2, 4, 4), out, bias=bias)
    variances = {key: value.square() for key, value in weights.items()}
    derivatives = torch.func.jacrev(lambda w: function.forward(w, x))(weights)
    expected = sum((derivatives[key].square() * variances[key]).flatten(1 + len(out)).sum(-1) for key in weights)
    close(function.output_variance(variances, x), expected)
    close(function.forward({key: 3 * value for key, value in weights.items()}, x), 3 * function.forward(weights, x))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("convolution", {}, {"weight": 2 / (16 * 9), "bias": 0.0}),
        ("convolution", {"activation": "none", "size": 5}, {"weight": 1 / (16 * 25), "bias": 0.0}),
        ("dilated_convolution", {}, {"weight": 2 / (16 * 9), "bias": 0.0}),
        ("separable_convolution", {}, {"depthwise": 2 / 9, "pointwise": 1 / 16, "bias": 0.0}),
        ("flat_linear", {}, {"weight": 2 / (16 * 64), "bias": 0.0}),
        ("pooled_linear", {"activation": "tanh"}, {"weight": 1 / 16, "bias": 0.0}),
    ],
)
def test_weights_start_with_the_variance_that_is_documented(
    name: str, options: dict[str, Any], expected: dict[str, float]
) -> None:
    """Of the draws only the scale is changed: start(1) is the standard deviation."""
    out: Shape = (10,) if name.endswith("linear") else (16, 8, 8)
    function, weights, _ = made(name, (16, 8, 8), out, **options)
    started = function.start({key: torch.ones_like(value) for key, value in weights.items()})
    assert {key: float(value.flatten()[0]) ** 2 for key, value in started.items()} == pytest.approx(expected)


def test_activations_keep_their_scale_through_ten_convolutions() -> None:
    """With variance 2 / fan-in after a rectifier E g² stays within a factor of 3 of the input's; with 1 it'd be 2⁻¹⁰.

    Wide images and many channels, so that borders and chance hardly count. He et al. 2015, section 2.2.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (64, 16, 16)
    x = torch.randn((8, *shape), generator=generator, dtype=torch.float64)
    value = x
    for _ in range(10):
        function, weights, _ = made("convolution", shape, shape)
        normals = {
            key: torch.randn(weight.shape, generator=generator, dtype=torch.float64) for key, weight in weights.items()
        }
        value = function.forward(function.start(normals), value)
    inner = value[..., 4:12, 4:12]
    assert 1 / 3 < float(inner.square().mean()) < 3
    assert math.isfinite(float(value.sum()))
