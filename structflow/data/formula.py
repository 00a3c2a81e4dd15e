"""A small language of formulas for synthetic data, such as `tanh(x0) + 0.5 * x1 ** 2`.

Python's parser reads the text; every node of the tree is then held against a short list of what the language has,
and numpy evaluates it in float64. Nothing is ever executed as code, and the work is bounded by the length of the
text times the number of rows: powers of huge numbers are infinite in float64, not long integers.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Problem, SpecError
from .nearest import did_you_mean

FORMULA_KEY = "data.formula"
MOST_CHARACTERS = 2_000
MOST_DEPTH = 100
"""Nesting, counting a sum of n terms as n deep; keeps the recursion far from Python's limit."""

Function = Callable[..., Any]

FUNCTIONS: dict[str, tuple[int, Function]] = {
    "sin": (1, np.sin),
    "cos": (1, np.cos),
    "tan": (1, np.tan),
    "tanh": (1, np.tanh),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "sqrt": (1, np.sqrt),
    "abs": (1, np.abs),
    "sign": (1, np.sign),
    "sigmoid": (1, lambda x: np.exp(-np.logaddexp(0.0, -x))),
    "relu": (1, lambda x: np.maximum(x, 0.0)),
    "softplus": (1, lambda x: np.logaddexp(0.0, x)),
    "minimum": (2, np.minimum),
    "maximum": (2, np.maximum),
    "where": (3, lambda condition, yes, no: np.where(condition != 0, yes, no)),
}
"""Number of arguments and meaning of every function."""

OPERATORS: dict[type[ast.AST], Function] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.float_power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
"""Meaning of every operator; comparisons give 0 or 1."""

VOCABULARY = "numbers, x0, x1, ..., pi, + - * / **, comparisons and " + ", ".join(FUNCTIONS)


@dataclass(frozen=True)
class Formula:
    """A formula over `n_inputs` inputs that has passed every check."""

    text: str
    n_inputs: int
    tree: ast.expr

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """The values (rows,) for inputs (rows, n_inputs), in float64; NaN or inf where the formula has no value."""
        names = {f"x{index}": inputs[:, index] for index in range(self.n_inputs)}
        with np.errstate(all="ignore"):
            value = evaluate(self.tree, {**names, "pi": np.float64(np.pi)})
        return np.array(np.broadcast_to(value, (len(inputs),)), dtype=np.float64)


def parse_formula(text: str, n_inputs: int) -> Formula:
    """Read and check a formula; raises `SpecError` at `data.formula` with everything in it that isn't allowed."""
    if len(text) > MOST_CHARACTERS:
        raise SpecError.single(
            FORMULA_KEY,
            f"the formula has {len(text)} characters; expected at most {MOST_CHARACTERS}",
            "write it shorter, or save the data to a file and read that",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's remarks on Python style don't apply here
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deeply"
        raise SpecError.single(
            FORMULA_KEY, f"{shown(text)} isn't a formula: {reason}", f"a formula is made of {VOCABULARY}"
        ) from error
    problems = [Problem(FORMULA_KEY, *found) for found in check(tree, n_inputs, depth=1)]
    if problems:
        raise SpecError(problems)
    return Formula(text, n_inputs, tree)


def shown(text: str) -> str:
    """A formula as a message shows it."""
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}..."


Finding = tuple[str, str | None]
"""Message and suggestion."""


def check(node: ast.expr, n_inputs: int, depth: int) -> list[Finding]:
    """What in this node and below isn't part of the language."""
    if depth > MOST_DEPTH:
        return [(f"the formula is nested more than {MOST_DEPTH} deep", "use fewer terms or parentheses")]
    children: list[ast.expr]
    match node:
        case ast.Constant():
            return check_number(node.value)
        case ast.Name():
            return check_name(node.id, n_inputs)
        case ast.UnaryOp(op=operator, operand=operand):
            found, children = check_operators([operator]), [operand]
        case ast.BinOp(left=left, op=operator, right=right):
            found, children = check_operators([operator]), [left, right]
        case ast.Compare(left=left, ops=operators, comparators=comparators):
            found, children = check_operators(operators), [left, *comparators]
        case ast.Call():
            found, children = check_call(node), node.args if isinstance(node.func, ast.Name) else []
        case _:
            return [(f"{type(node).__name__} isn't part of a formula", f"a formula is made of {VOCABULARY}")]
    for child in children:
        found += check(child, n_inputs, depth + 1)
        if depth > 1 and len(found) > 5:  # enough to go on with
            break
    return found


def check_number(value: object) -> list[Finding]:
    """A constant must be a number that float64 can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [(f"{shown(str(value))} isn't a number", "write numbers like 2, 0.5 or 1e-3")]
    try:
        finite = bool(np.isfinite(float(value)))
    except OverflowError:
        finite = False
    return [] if finite else [("a number is too large for float64", "write a smaller number")]


def check_name(name: str, n_inputs: int) -> list[Finding]:
    """A name must be an input or pi."""
    if name == "pi" or is_input(name, n_inputs):
        return []
    if name in FUNCTIONS:
        return [(f"{name} is a function without arguments", f"write {name}(x0)")]
    inputs = "x0" if n_inputs == 1 else f"x0 to x{n_inputs - 1}"
    if name[:1] == "x" and name[1:].isascii() and name[1:].isdigit():
        return [(f"there is no input {shown(name)}; expected {inputs}", "the key `inputs` says how many there are")]
    suggestion = did_you_mean(name, [*FUNCTIONS, "pi", "x0"], f"the inputs are {inputs}")
    return [(f"{shown(name)} isn't a name of the formula language", suggestion)]


def is_input(name: str, n_inputs: int) -> bool:
    """Whether the name is one of x0 … x(n−1), written without leading zeros."""
    digits = name[1:]
    if not (name[:1] == "x" and digits.isascii() and digits.isdigit() and len(digits) < 10):
        return False
    return digits == str(int(digits)) and int(digits) < n_inputs


def check_operators(operators: list[Any]) -> list[Finding]:
    """Operators must be among those of the language."""
    return [
        (
            f"the operator {type(operator).__name__} isn't part of a formula",
            "a power is written **" if isinstance(operator, ast.BitXor) else f"a formula is made of {VOCABULARY}",
        )
        for operator in operators
        if type(operator) not in OPERATORS
    ]


def check_call(node: ast.Call) -> list[Finding]:
    """A call must be of a known function with the right number of plain arguments."""
    if not isinstance(node.func, ast.Name):
        return [("only functions of the formula language can be called", f"they are {', '.join(FUNCTIONS)}")]
    name = node.func.id
    if name not in FUNCTIONS:
        return [(f"there is no function {shown(name)}", did_you_mean(name, FUNCTIONS, f"use {', '.join(FUNCTIONS)}"))]
    wanted = FUNCTIONS[name][0]
    if node.keywords or len(node.args) != wanted:
        given = len(node.args) + len(node.keywords)
        return [(f"{name} has {given} arguments; expected {wanted} without names", None)]
    return []


def evaluate(node: ast.expr, names: Mapping[str, object]) -> Any:
    """Value of a checked node: float64, of shape (rows,) or ()."""
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float):
            return np.float64(value)
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=operator, operand=operand):
            return OPERATORS[type(operator)](evaluate(operand, names))
        case ast.BinOp(left=left, op=operator, right=right):
            return OPERATORS[type(operator)](evaluate(left, names), evaluate(right, names))
        case ast.Compare(left=left, ops=operators, comparators=comparators):
            values = [evaluate(operand, names) for operand in (left, *comparators)]
            holds = [
                OPERATORS[type(operator)](low, high)
                for operator, low, high in zip(operators, values[:-1], values[1:], strict=True)
            ]
            return np.float64(1.0) * np.logical_and.reduce(np.broadcast_arrays(*holds))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][1](*(evaluate(argument, names) for argument in arguments))
    raise TypeError(f"{type(node).__name__} passed the check but has no value")
