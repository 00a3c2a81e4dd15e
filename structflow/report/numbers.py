"""How numbers are written in tables."""

from __future__ import annotations


def shown(value: float | None) -> str:
    """A metric with four significant digits.

    >>> shown(0.5), shown(12345.6), shown(None)
    ('0.5000', '1.235e+04', '')
    """
    return "" if value is None else f"{value:#.4g}".rstrip(".")


def with_error(value: str, error: float | None) -> str:
    """A value with its standard error; a question mark where that isn't known.

    >>> with_error("-3.20", 0.1), with_error("-3.20", None)
    ('-3.20 ± 0.10', '-3.20 ± ?')
    """
    return f"{value} ± ?" if error is None else f"{value} ± {error:.2f}"
