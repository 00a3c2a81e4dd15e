"""Arrays in a Zarr hierarchy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...plugins import DataSource, Table
from .array_options import ArrayOptions


class Zarr(DataSource):
    """A folder that holds a Zarr group of arrays, format 2 or 3; inputs may have any shape (rows, ...)."""

    type = "zarr"
    Options = ArrayOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a folder that is missing or no Zarr group, and for unknown arrays."""
        import numpy as np
        import zarr

        from ...data.arrays import table_from_arrays
        from ...data.files import existing_path, not_the_format

        path = existing_path(base, options.path, folder=True)

        def values(name: str) -> np.ndarray:
            array = group[name]
            stored = array.metadata.to_dict()
            if "pickle" in str([stored.get(key) for key in ("codecs", "filters", "compressor")]).lower():
                raise ValueError(f"array {name!r} is stored with pickle, which could run code when it is read")
            return np.asarray(array)

        try:
            group = zarr.open_group(path, mode="r")
            return table_from_arrays(sorted(group.array_keys()), values, options.inputs, options.target)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise not_the_format(options.path, "a Zarr group of arrays", error) from error
