"""How numbers are written in tables."""

from __future__ import annotations


def shown(value: float | None) -> str:
    """A metric with four significant digits."""
    return "" if value is None else f"{value:#.4g}".rstrip(".")
