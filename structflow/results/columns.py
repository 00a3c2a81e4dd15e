"""Arrays of the public results, as xarray takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .models import BestRestart

Column = tuple[str | tuple[str, ...], np.ndarray, dict[str, object]]
"""Dimensions, values and attributes of an array of a dataset."""

ROWS = ("train", "test")


def numbers(values: Iterable[object]) -> np.ndarray:
    """Floats, NaN for None."""
    return np.array(list(values), dtype=float)


def columns(entries: Sequence[BestRestart], model: type[BestRestart], keys: Iterable[str]) -> dict[str, Column]:
    """Keys of a table's entries as arrays (structure,), with what the model says of them, and all metrics."""
    found: dict[str, Column] = {}
    for key in keys:
        field = model.model_fields[key]
        units = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        values = numbers(getattr(entry, key) for entry in entries)
        found[key] = ("structure", values, {"description": field.description, **units})
    for rows in ROWS:
        for metric in entries[0].metrics[rows] if entries else ():
            values = numbers(entry.metrics[rows][metric] for entry in entries)
            text = f"{metric} on the {rows} rows, in the target's units"
            found[f"{rows}_{metric}"] = ("structure", values, {"description": text})
    return found
