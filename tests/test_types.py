"""How far types go: where `Any` stands in signatures, and how often data are dictionaries of anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "structflow"

MOST_DICTIONARIES = 40
"""Lines with `dict[str, Any]` that the package may have: mostly arguments of other libraries."""


def annotations(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The annotations of all arguments and results, each with the name of its function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            for found in [node.returns, *(each.annotation for each in arguments if each is not None)]:
                if found is not None:
                    yield node.name, found


@pytest.mark.parametrize("package", ["train", "objective", "runner", "results"])
def test_signatures_have_types(package):
    """No `Any` in an argument or a result, however deep: `object` where nothing is known, `JsonValue` for JSON."""
    for path in sorted((PACKAGE / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        untyped = [
            name
            for name, annotation in annotations(tree)
            if any(isinstance(part, ast.Name) and part.id == "Any" for part in ast.walk(annotation))
        ]
        assert not untyped, path


def test_few_dictionaries_of_anything():
    """Data that cross a layer have named fields."""
    lines = [line for path in PACKAGE.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum("dict[str, Any]" in line for line in lines) <= MOST_DICTIONARIES
