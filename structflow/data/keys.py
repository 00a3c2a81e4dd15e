"""Which key of the `data` block the user should look at; sources differ in the keys they have."""

from __future__ import annotations

from ..plugins import DataOptions


def first_key(options: DataOptions, *candidates: str) -> str:
    """Path of the first of these keys that the options have, else of the whole block."""
    fields = type(options).model_fields
    return next((f"data.{name}" for name in candidates if name in fields), "data")


def rows_key(options: DataOptions) -> str:
    """The key that says where the rows come from."""
    return first_key(options, "path", "name", "rows")


def inputs_key(options: DataOptions) -> str:
    """The key that says what the inputs are."""
    return first_key(options, "inputs", "path", "name")


def target_key(options: DataOptions) -> str:
    """The key that says what the targets are."""
    return first_key(options, "target", "formula", "name", "path")
