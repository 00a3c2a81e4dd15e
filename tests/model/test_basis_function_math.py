"""Every built-in basis function: shapes, vmap = loop, and the variance of what is linear in its weights."""

from __future__ import annotations

import pytest
import torch
from handmade import fn, normal
from torch.func import jacrev, vmap

from structflow.plugins.registry import registry

ROWS, MEMBERS = 5, 3
ACTIVATIONS = [
    "tanh",
    "relu",
    "sigmoid",
    "softplus",
    "gelu",
    "silu",
    "elu",
    "sin",
    "cos",
    "exp",
    "square",
    "abs",
    "gaussian",
]

CASES = [
    ("zero", {}, (3,), (2,)),
    ("zero", {}, (3,), (2, 2)),
    ("identity", {}, (3,), (3,)),
    ("identity", {}, (2, 3), (2, 3)),
    ("constant", {}, (3,), (2,)),
    ("constant", {}, (2, 3), (2, 2)),
    ("linear", {}, (3,), (2,)),
    ("linear", {"bias": False}, (3,), (2,)),
    ("dense", {"rows": [2, 0]}, (3,), (2,)),
    ("dense", {"rows": [2, 0], "share": "W"}, (3,), (2,)),
    ("dense", {"bias": False}, (3,), (2,)),
    *[("dense", {"activation": name}, (3,), (2,)) for name in ACTIVATIONS],
    *[("elementwise", {"function": name}, (3,), (3,)) for name in ACTIVATIONS],
    *[
        ("polynomial", {"degree": d, "family": f}, (3,), (2,))
        for d in (0, 1, 4)
        for f in ("power", "legendre", "hermite")
    ],
]


def made(type_name, options, in_shape, out_shape):
    spec = fn(type_name, **options)
    shapes = spec.plugin.weight_shapes(spec.options, in_shape, out_shape)
    return spec.plugin(spec.options, in_shape, out_shape), shapes


def test_every_built_in_is_among_the_cases():
    found = registry().of_kind("basis_functions")
    assert {case[0] for case in CASES} == {name for name, each in found.items() if each.origin == "structflow"}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_vmap(case):
    g, shapes = made(*case)
    weights = {name: normal(MEMBERS, *shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    x = normal(MEMBERS, ROWS, *case[2], seed=9)
    looped = torch.stack([g.forward({n: w[m] for n, w in weights.items()}, x[m]) for m in range(MEMBERS)])
    assert looped.shape == (MEMBERS, ROWS, *case[3])
    assert looped.isfinite().all()
    lifted = vmap(g.forward)(weights, x) if weights else vmap(lambda rows: g.forward({}, rows))(x)
    torch.testing.assert_close(lifted, looped, rtol=1e-13, atol=1e-13)
    started = vmap(g.start)(weights) if weights else {}
    assert {name: tuple(value.shape[1:]) for name, value in started.items()} == dict(shapes)


@pytest.mark.parametrize("case", CASES)
def test_rows_are_independent(case):
    """Row i of the result depends on row i of x alone."""
    g, shapes = made(*case)
    weights = {name: normal(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    x = normal(ROWS, *case[2], seed=9)
    one_by_one = torch.cat([g.forward(weights, x[row : row + 1]) for row in range(ROWS)])
    torch.testing.assert_close(g.forward(weights, x), one_by_one, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_linearity_in_the_weights_and_output_variance(case):
    """With J = ∂g/∂w: linear means g = J w (no part without weights), and Var g = Σ_i J_i² Var w_i."""
    g, shapes = made(*case)
    if not g.linear_in_weights or not shapes:
        return
    weights = {name: normal(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    variances = {name: normal(*shape, seed=50 + number).square() for number, (name, shape) in enumerate(shapes.items())}
    x = normal(ROWS, *case[2], seed=9)
    jacobian = jacrev(lambda own: g.forward(own, x))(weights)
    axes = 1 + len(case[3])
    flat = {name: value.flatten(axes) for name, value in jacobian.items()}
    linear = sum((flat[name] @ weights[name].flatten() for name in shapes), torch.zeros(()))
    torch.testing.assert_close(g.forward(weights, x), linear, rtol=1e-12, atol=1e-12)
    expected = sum((flat[name].square() @ variances[name].flatten() for name in shapes), torch.zeros(()))
    torch.testing.assert_close(g.output_variance(variances, x), expected, rtol=1e-12, atol=1e-12)


def test_polynomial_families_at_one_half():
    """x, x², x³; P_1..P_3 = x, (3x²−1)/2, (5x³−3x)/2; h_1..h_3 = x, (x²−1)/√2, (x³−3x)/√6."""
    x = torch.tensor([[0.5]], dtype=torch.float64)
    expected = {
        "power": [0.5, 0.25, 0.125],
        "legendre": [0.5, -0.125, -0.4375],
        "hermite": [0.5, -0.75 / 2**0.5, -1.375 / 6**0.5],
    }
    for family, values in expected.items():
        g, _ = made("polynomial", {"degree": 3, "family": family}, (1,), (1,))
        torch.testing.assert_close(g.features(x), torch.tensor([values], dtype=torch.float64))


def test_starting_weights_have_variance_one_over_fan_in():
    """W (400×50): 1/400 within 5 standard errors √(2/20000)·1/400; the bias starts at 0."""
    g, _ = made("dense", {}, (400,), (50,))
    started = g.start({"weight": normal(400, 50), "bias": normal(50, seed=1)})
    assert abs(float(started["weight"].var()) * 400 - 1) < 5 * (2 / 20000) ** 0.5
    assert not started["bias"].any()
