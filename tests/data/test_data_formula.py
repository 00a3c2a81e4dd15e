"""The formula language: right values, and nothing but formulas."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structflow.data.formula import parse_formula
from structflow.errors import SpecError

X = np.random.default_rng(0).normal(size=(50, 3))
A, B, C = X.T


def problems(text: str, n_inputs: int = 3) -> list[str]:
    with pytest.raises(SpecError) as raised:
        parse_formula(text, n_inputs)
    assert {problem.path for problem in raised.value.problems} == {"data.formula"}
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tanh(x0)", np.tanh(A)),
        ("x0 + x1 * x2", A + B * C),
        ("-x0 ** 2", -(A**2)),  # as in Python: the power binds first
        ("2 ** -x0 / 4", 2.0**-A / 4),
        ("sin(pi * x0) - cos(x1) + tan(x2)", np.sin(np.pi * A) - np.cos(B) + np.tan(C)),
        ("exp(x0) * log(abs(x1)) + sqrt(x2 ** 2)", np.exp(A) * np.log(np.abs(B)) + np.abs(C)),
        ("sign(x0) + relu(x1)", np.sign(A) + np.maximum(B, 0)),
        ("sigmoid(x0)", 1 / (1 + np.exp(-A))),
        ("softplus(x0)", np.log(1 + np.exp(A))),
        ("minimum(x0, x1) + maximum(x1, 0.5)", np.minimum(A, B) + np.maximum(B, 0.5)),
        ("where(x0 > 0, x1, x2)", np.where(A > 0, B, C)),
        ("x0 > x1", (A > B) * 1.0),
        ("0 < x0 <= 1", ((A > 0) & (A <= 1)) * 1.0),
        ("(x0 > 0) + (x1 != x1)", (A > 0) * 1.0),
        ("+x0 - 1e-3", A - 1e-3),
        ("3", np.full(50, 3.0)),
        ("  x0\n", A),
    ],
)
def test_values_are_those_of_numpy(text: str, expected: np.ndarray) -> None:
    values = parse_formula(text, 3)(X)
    assert values.dtype == np.float64
    assert values.shape == (50,)
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_sigmoid_and_softplus_keep_their_precision_far_out() -> None:
    # σ(−700) = e^−700 to first order, σ(1000) = 1; softplus(1000) = 1000, softplus(−700) = e^−700.
    inputs = np.array([[-700.0], [1000.0]])
    np.testing.assert_allclose(parse_formula("sigmoid(x0)", 1)(inputs), [np.exp(-700.0), 1.0], rtol=1e-12)
    np.testing.assert_allclose(parse_formula("softplus(x0)", 1)(inputs), [np.exp(-700.0), 1000.0], rtol=1e-12)


def test_values_never_alias_the_inputs() -> None:
    inputs = X.copy()
    parse_formula("x0", 3)(inputs)[:] = 0
    assert np.array_equal(inputs, X)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "x0.__class__",
        "().__class__.__bases__",
        "lambda: 1",
        "(lambda: 1)()",
        "[x0 for x0 in x1]",
        "x0[0]",
        "[1, 2]",
        "{'a': 1}",
        "'text'",
        "f'{x0}'",
        "b'bytes'",
        "1j",
        "True",
        "None",
        "...",
        "x0 if x1 else x2",
        "x0 and x1",
        "not x0",
        "~x0",
        "x0 // 2",
        "x0 % 2",
        "x0 @ x1",
        "x0 << 2",
        "x0 is x1",
        "x0 in x1",
        "(y := 3)",
        "await x0",
        "eval('1')",
        "open('file')",
        "exp",
        "exp()",
        "exp(x0, x1)",
        "exp(*x0)",
        "exp(x=x0)",
        "exp(x0, out=x1)",
        "sin(cos)",
        "np.sin(x0)",
        "sin(x0)(x1)",
        "x0 = 1",
        "import os",
        "x0; x1",
        "",
        "   ",
        "x0 +",
        "x0\x00",
        "x00",
        "x01",
        "x3",
        "x-1x",
        "x²",
        "x٣",
        "1e999",
        "9" * 1000,
        "9" * 1999,
        "+".join(["x0"] * 500),
        "(" * 500 + "x0" + ")" * 500,
        "-" * 1999 + "1",
        "sin(" * 90 + "x0" + ")" * 90 + "+" * 200,
        "x0" * 2000,
    ],
)
def test_refuses_everything_else(text: str) -> None:
    problems(text)


def test_huge_powers_take_no_time() -> None:
    # As Python integers 9**9**9**9 would never end; in float64 it is infinite.
    start = time.process_time()
    values = parse_formula("9 ** 9 ** 9 ** 9 ** 9 ** 9", 1)(X[:, :1])
    assert time.process_time() - start < 1.0
    assert np.all(np.isinf(values))


def test_no_value_is_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    values = parse_formula("sqrt(-1) + log(-1) + 1 / 0 + (-2) ** 0.5", 1)(X[:, :1])
    assert np.all(np.isnan(values))
    assert not recwarn.list


def test_division_by_zero_is_infinite() -> None:
    assert np.all(parse_formula("1 / 0", 1)(X[:, :1]) == np.inf)


def test_nearest_name_is_suggested() -> None:
    assert "did you mean 'sigmoid'?" in problems("sigmiod(x0)")[0]
    assert "did you mean 'pi'?" in problems("PI * x0")[0]
    assert "there is no input 'x7'; expected x0 to x2" in problems("x7")[0]
    assert "write tanh(x0)" in problems("tanh")[0]
    assert "a power is written **" in problems("x0 ^ 2")[0]


def test_all_problems_are_named_together() -> None:
    found = problems("tahn(x0) + x9 * sin(x0, x1)")
    assert len(found) == 3


def test_deep_sum_up_to_the_limit_works() -> None:
    # 99 terms nest 99 deep: the value is 99 · x0.
    np.testing.assert_allclose(parse_formula("+".join(["x0"] * 99), 1)(X[:, :1]), 99 * A, rtol=1e-12)


Pair = tuple[str, np.ndarray]
"""A formula and its values, built side by side: the second is the reference for the first."""

UNARY = {"sin": np.sin, "tanh": np.tanh, "exp": np.exp, "abs": np.abs}
BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: (a < b) * 1.0,
    ">=": lambda a, b: (a >= b) * 1.0,
}


def apply_unary(name: str, pair: Pair) -> Pair:
    with np.errstate(all="ignore"):
        return f"{name}({pair[0]})", UNARY[name](pair[1])


def apply_binary(left: Pair, operator: str, right: Pair) -> Pair:
    with np.errstate(all="ignore"):
        return f"({left[0]} {operator} {right[0]})", BINARY[operator](left[1], right[1])


def larger(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        st.builds(apply_binary, inner, st.sampled_from(sorted(BINARY)), inner),
        st.builds(apply_unary, st.sampled_from(sorted(UNARY)), inner),
        inner.map(lambda pair: (f"(-{pair[0]})", -pair[1])),
    )


inputs_and_pi = st.sampled_from(["x0", "x1", "x2", "pi"]).map(
    lambda name: (name, {"x0": A, "x1": B, "x2": C, "pi": np.full(50, np.pi)}[name])
)
numbers = st.floats(0, 100).map(lambda value: (repr(value), np.full(50, value)))


@settings(max_examples=100, deadline=None)
@given(st.recursive(inputs_and_pi | numbers, larger, max_leaves=8))
def test_random_formulas_agree_with_numpy(pair: Pair) -> None:
    text, expected = pair
    np.testing.assert_allclose(parse_formula(text, 3)(X), expected, rtol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_formula_or_a_spec_error(text: str) -> None:
    try:
        values = parse_formula(text, 3)(X)
    except SpecError:
        return
    assert values.shape == (50,)
