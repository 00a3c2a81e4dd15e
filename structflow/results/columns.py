"""Arrays of the public results, as xarray takes them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Column = tuple[str | tuple[str, ...], np.ndarray, dict[str, str]]
"""Dimensions, values and attributes of an array of a dataset."""

NATS = {"units": "nats"}


def numbers(values: Iterable[object]) -> np.ndarray:
    """Floats, NaN for None."""
    return np.array(list(values), dtype=float)
