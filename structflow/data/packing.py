"""Arrays decoded as their attributes say: unpacked, and with NaN where a value stands for a missing one.

The attributes are those of the CF conventions, chapters 2.5.1 and 8.1, as xarray and netCDF write them.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SpecError

TIME_UNITS = r"\s*\w+\s+since\s+.+"
"""Units of a time that is counted from a day, such as `days since 2000-01-01`."""


@dataclass(frozen=True)
class Packing:
    """value = stored · scale + offset, NaN where stored is one of `missing`; integers read as `integers`, if given."""

    scale: float = 1.0
    offset: float = 0.0
    missing: tuple[Any, ...] = ()
    integers: np.dtype[Any] | None = None
    is_bool: bool = False

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        """Values in float64, or as they are stored where nothing is packed or missing."""
        if self.integers is not None:
            stored = stored.view(self.integers)
        if self.is_bool:
            return stored.astype(bool)
        absent = np.zeros(stored.shape, dtype=bool)
        for value in self.missing:
            absent |= stored == value
        packed = self.scale != 1.0 or self.offset != 0.0
        if not packed and not absent.any():
            return stored
        if stored.dtype.kind not in "biuf":
            objects = stored.astype(object)
            objects[absent] = None
            return objects
        values = stored.astype(np.float64)
        if packed:
            values = values * self.scale + self.offset
        values[absent] = np.nan
        return values


def packing_of(name: str, dtype: np.dtype[Any], attributes: Mapping[str, Any], fill_value: Any, key: str) -> Packing:
    """How an array is packed; `fill_value` is that of its storage where it stands for missing values, else None.

    Raises `SpecError` at `key` for attributes that can't be used, and for times, which aren't plain numbers: a table
    written elsewhere may count them from another day.
    """

    def refuse(message: str, remedy: str) -> SpecError:
        return SpecError.single(key, f"array {name!r} {message}", remedy)

    units = attributes.get("units")
    if isinstance(units, str) and re.fullmatch(TIME_UNITS, units):
        raise refuse(
            f"holds times ({units!r}); expected numbers",
            "save numbers, without a time in `units`",
        )
    if str(attributes.get("dtype", "")).startswith("timedelta64"):
        raise refuse(f"holds durations (units {units!r}); expected numbers", "save them as numbers")
    integers = None
    if dtype.kind in "iu" and "_Unsigned" in attributes:
        unsigned = str(attributes["_Unsigned"]).lower() == "true"
        integers = np.dtype(f"{dtype.byteorder}{'u' if unsigned else 'i'}{dtype.itemsize}")
    factors = {}
    for attribute, default in (("scale_factor", 1.0), ("add_offset", 0.0)):
        value = number_of(attributes.get(attribute, default))
        if value is None or not np.isfinite(value):
            got = attributes[attribute]
            raise refuse(f"has the attribute {attribute} = {got!r}; expected a finite number", "correct the attribute")
        factors[attribute] = value
    missing: list[Any] = [] if fill_value is None else [fill_value]
    for attribute in ("_FillValue", "missing_value"):
        given = attributes.get(attribute)
        listed = given if isinstance(given, list | tuple) else [] if given is None else [given]
        missing += [missing_of(value, dtype) for value in listed]
    if integers is not None:
        missing = [as_integers(value, dtype, integers) for value in missing]
    is_bool = attributes.get("dtype") == "bool" and dtype.kind in "iu" and not missing
    kept = tuple(value for value in missing if value is not None and value == value)
    return Packing(factors["scale_factor"], factors["add_offset"], kept, integers, is_bool)


def number_of(value: Any) -> float | None:
    """A number, or a list of just one, as float; None for anything else."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def missing_of(value: Any, dtype: np.dtype[Any]) -> Any:
    """A missing value as it is stored; xarray writes those of floating-point arrays of Zarr 3 in base 64."""
    if isinstance(value, str) and dtype.kind == "f":
        try:
            return struct.unpack("<d", base64.standard_b64decode(value))[0]
        except (ValueError, struct.error):
            return float(value) if value.lower() in ("nan", "inf", "-inf", "infinity", "-infinity") else None
    return value


def as_integers(value: Any, dtype: np.dtype[Any], integers: np.dtype[Any]) -> Any:
    """A missing value given as a whole number of one integer dtype, as one of another with the same bits."""
    if not isinstance(value, int | np.integer) or not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return value
    return np.asarray(value, dtype=dtype).view(integers)[()]
