"""How numbers are written in tables."""

from __future__ import annotations


def shown(value: float | None) -> str:
    """A metric with four significant digits."""
    return "" if value is None else f"{value:#.4g}".rstrip(".")


def with_error(value: str, error: float | None) -> str:
    """A value with its standard error; a question mark where that isn't known."""
    return f"{value} ± ?" if error is None else f"{value} ± {error:.2f}"
