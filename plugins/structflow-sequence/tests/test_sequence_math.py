"""The maps of series against torch.nn's in float64, with the weights copied, and their causality."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisFunction, BasisOptions
from structflow_sequence.attention import Attention, AttentionOptions, sinusoidal_positions
from structflow_sequence.autoregression import Autoregression, AutoregressionOptions
from structflow_sequence.gru import GatedRecurrentUnit
from structflow_sequence.lstm import LongShortTermMemory
from structflow_sequence.temporal_convolution import TemporalConvolution, TemporalConvolutionOptions

ROWS, LENGTH, CHANNELS, UNITS = 5, 11, 3, 4
NO_OPTIONS = BasisOptions()
WHOLE: list[tuple[type[BasisFunction], Any]] = [
    (TemporalConvolution, TemporalConvolutionOptions(kernel_size=3, dilation=2, activation="tanh")),
    (GatedRecurrentUnit, NO_OPTIONS),
    (LongShortTermMemory, NO_OPTIONS),
    (Attention, AttentionOptions(heads=2)),
]
"""The functions that can keep the whole series, with options."""

IDS = [function.type for function, _ in WHOLE]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(ROWS, LENGTH, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(function: type[BasisFunction], options: Any, out_shape: tuple[int, ...]) -> tuple[Any, dict[str, Tensor]]:
    """A function from (LENGTH, CHANNELS) and random weights for it, biases too."""
    generator = torch.Generator().manual_seed(2)
    shapes = function.weight_shapes(options, (LENGTH, CHANNELS), out_shape)
    weights = {name: torch.randn(shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}
    return function(options, (LENGTH, CHANNELS), out_shape), weights


def assert_same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_gru_is_that_of_torch(x: Tensor) -> None:
    function, weights = made(GatedRecurrentUnit, NO_OPTIONS, (LENGTH, UNITS))
    reference = torch.nn.GRU(CHANNELS, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(weights["input"].T)
        reference.weight_hh_l0.copy_(weights["recurrent"].T)
        reference.bias_ih_l0.copy_(weights["bias"])
        reference.bias_hh_l0.zero_()
        reference.bias_hh_l0[2 * UNITS :] = weights["recurrent_bias"]
        assert_same(function.forward(weights, x), reference(x)[0])


def test_lstm_is_that_of_torch(x: Tensor) -> None:
    function, weights = made(LongShortTermMemory, NO_OPTIONS, (LENGTH, UNITS))
    reference = torch.nn.LSTM(CHANNELS, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(weights["input"].T)
        reference.weight_hh_l0.copy_(weights["recurrent"].T)
        reference.bias_ih_l0.copy_(weights["bias"])
        reference.bias_hh_l0.zero_()
        assert_same(function.forward(weights, x), reference(x)[0])


def test_lstm_starts_with_open_forget_gates() -> None:
    function, weights = made(LongShortTermMemory, NO_OPTIONS, (UNITS,))
    started = function.start(weights)
    assert started["bias"].tolist() == [0.0] * UNITS + [1.0] * UNITS + [0.0] * 2 * UNITS  # i, f, g, o
    assert_same(started["recurrent"], weights["recurrent"] / 2)  # fan-in 4


@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize(("activation", "phi"), [("relu", torch.relu), ("gelu", functional.gelu)])
def test_temporal_convolution_is_a_convolution_padded_before_the_start(
    x: Tensor, dilation: int, activation: Any, phi: Any
) -> None:
    options = TemporalConvolutionOptions(kernel_size=3, dilation=dilation, activation=activation)
    function, weights = made(TemporalConvolution, options, (LENGTH, UNITS))
    kernel = weights["weight"].flip(0).permute(2, 1, 0)  # torch's kernels go from the past to the present
    padded = functional.pad(x.transpose(1, 2), (2 * dilation, 0))
    expected = phi(functional.conv1d(padded, kernel, weights["bias"], dilation=dilation)).transpose(1, 2)
    assert_same(function.forward(weights, x), expected)


@pytest.mark.parametrize(("heads", "causal", "position_channels"), [(1, True, 6), (2, True, 0), (2, False, 16)])
def test_attention_is_that_of_torch(x: Tensor, heads: int, causal: bool, position_channels: int) -> None:
    options = AttentionOptions(heads=heads, causal=causal, position_channels=position_channels)
    function, weights = made(Attention, options, (LENGTH, UNITS))
    z = torch.cat([x, sinusoidal_positions(x, position_channels, 10_000.0).expand(ROWS, -1, -1)], dim=-1)
    parts = [
        (z @ weights[name] + weights.get(f"{name}_bias", 0.0)).unflatten(-1, (heads, -1)).transpose(1, 2)
        for name in ("query", "key", "value")
    ]
    attended = functional.scaled_dot_product_attention(*parts, is_causal=causal)
    assert_same(function.forward(weights, x), attended.transpose(1, 2).flatten(2))


def test_positions_are_those_of_the_paper() -> None:
    """P_{t,2i} = sin(t / base^{2i/D}) and P_{t,2i+1} the cosine, for D = 4 and base 100: rates 1 and 0.1."""
    positions = sinusoidal_positions(torch.zeros(1, 6, 1, dtype=torch.float64), 4, 100.0)
    angles = torch.tensor([5.0, 0.5], dtype=torch.float64)
    assert_same(positions[5], torch.stack([angles.sin(), angles.cos()], dim=1).flatten())
    assert positions[0].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_attention_without_positions_ignores_the_order_of_the_past(x: Tensor) -> None:
    for position_channels, ignores in ((0, True), (16, False)):
        function, weights = made(Attention, AttentionOptions(position_channels=position_channels), (UNITS,))
        shuffled = torch.cat([x[:, :-1].flip(1), x[:, -1:]], dim=1)
        difference = (function.forward(weights, shuffled) - function.forward(weights, x)).abs().max()
        assert (difference < 1e-12) == ignores


@pytest.mark.parametrize(("function_class", "options"), WHOLE, ids=IDS)
def test_the_last_step_alone_is_the_last_of_the_whole(
    x: Tensor, function_class: type[BasisFunction], options: Any
) -> None:
    whole, weights = made(function_class, options, (LENGTH, UNITS))
    last = function_class(options, (LENGTH, CHANNELS), (UNITS,))
    assert function_class.weight_shapes(options, (LENGTH, CHANNELS), (UNITS,)) == {
        name: tuple(weight.shape) for name, weight in weights.items()
    }
    assert_same(last.forward(weights, x), whole.forward(weights, x)[:, -1])


@pytest.mark.parametrize(("function_class", "options"), WHOLE, ids=IDS)
def test_no_step_sees_a_later_one(x: Tensor, function_class: type[BasisFunction], options: Any) -> None:
    """d output_t / d input_s is zero exactly for s > t; at s = t it isn't."""
    function, weights = made(function_class, options, (LENGTH, UNITS))
    jacobian = torch.autograd.functional.jacobian(lambda series: function.forward(weights, series).sum((0, 2)), x)
    influence = jacobian.abs().sum((1, 3))  # (step of the output, step of the input)
    assert (influence.triu(1) == 0).all()
    assert (influence.diagonal() > 0).all()


def test_attention_that_is_not_causal_sees_later_steps(x: Tensor) -> None:
    function, weights = made(Attention, AttentionOptions(causal=False), (LENGTH, UNITS))
    changed = x.clone()
    changed[:, -1] += 1.0
    assert ((function.forward(weights, changed) - function.forward(weights, x))[:, 0].abs() > 1e-6).any()


@pytest.mark.parametrize("order", [None, 1, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_autoregression_is_the_sum_over_lags(x: Tensor, order: int | None, bias: bool) -> None:
    function, weights = made(Autoregression, AutoregressionOptions(order=order, bias=bias), (2,))
    expected = torch.zeros(ROWS, 2, dtype=torch.float64)
    for lag in range(1, (order or LENGTH) + 1):
        expected += x[:, LENGTH - lag] @ weights["weight"][lag - 1]
    if bias:
        expected += weights["bias"]
    assert_same(function.forward(weights, x), expected)


def test_variance_of_autoregression_is_that_of_independent_weights(x: Tensor) -> None:
    """Var Σ φ_i w_i = Σ φ_i² Var w_i, with φ from the Jacobian by the weights."""
    function, weights = made(Autoregression, AutoregressionOptions(order=4), (2,))
    variances = {name: weight.square() + 0.1 for name, weight in weights.items()}
    names = list(weights)
    jacobians = torch.autograd.functional.jacobian(
        lambda *values: function.forward(dict(zip(names, values, strict=True)), x), tuple(weights.values())
    )
    expected = torch.zeros(ROWS, 2, dtype=torch.float64)
    for name, jacobian in zip(names, jacobians, strict=True):
        expected += (jacobian.square() * variances[name]).flatten(2).sum(-1)
    assert_same(function.output_variance(variances, x), expected)


@pytest.mark.parametrize(
    ("function_class", "options", "in_shape", "out_shape", "message"),
    [
        (GatedRecurrentUnit, NO_OPTIONS, (20,), (4,), r"takes a series of shape \[length, channels\]; got \[20\]"),
        (LongShortTermMemory, NO_OPTIONS, (20, 1), (10, 4), r"maps \[20, 1\] to \[20, units\], or to \[units\]"),
        (GatedRecurrentUnit, NO_OPTIONS, (20, 1), (20, 4, 1), r"at the last step; got \[20, 4, 1\]"),
        (Autoregression, AutoregressionOptions(order=21), (20, 1), (1,), "order is 21, but the series has 20 steps"),
        (Autoregression, AutoregressionOptions(), (20, 1), (20, 1), r"a series to a vector \[outputs\]; got \[20, 1\]"),
        (Attention, AttentionOptions(heads=3), (20, 1), (4,), "heads is 3, which doesn't divide the 4 units"),
        (
            TemporalConvolution,
            TemporalConvolutionOptions(kernel_size=6, dilation=4),
            (20, 1),
            (4,),
            "spans 21 steps, but the series has 20",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_explained(
    function_class: type[BasisFunction],
    options: Any,
    in_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    message: str,
) -> None:
    with pytest.raises(ShapeMismatch, match=message):
        function_class.weight_shapes(options, in_shape, out_shape)
