"""Arrays in a Zarr hierarchy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...errors import SpecError
from ...plugins import ChunkedTable, DataSource, InputTable, StreamOptions, Table
from .array_options import ArrayOptions

if TYPE_CHECKING:
    import numpy as np
    import zarr

LEAST_CHUNK = 2**20
"""Bytes, in double precision, below which neighbouring chunks of the arrays are read as one."""


class ZarrOptions(ArrayOptions, StreamOptions):
    """Where the group is, and which arrays are the inputs and which the targets."""

    path: str = Field(min_length=1, description="Folder, from the folder of the spec, or an address that fsspec knows.")


class Zarr(DataSource):
    """A folder that holds a Zarr group of arrays, format 2 or 3; inputs may have any shape (rows, ...).

    The attributes `scale_factor`, `add_offset`, `_FillValue`, `missing_value` and `_Unsigned` of an array are applied.
    """

    type = "zarr"
    Options = ZarrOptions
    suffixes = (".zarr",)

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a folder that is missing or no Zarr group, and for unknown arrays."""
        from ...data.arrays import table_from_arrays

        with group_errors(options.path):
            group, _, _ = open_group(options, base)

            def values(name: str) -> np.ndarray:
                return StoredArray(group, name, options).rows(slice(None))

            return table_from_arrays(sorted(group.array_keys()), values, options.inputs, options.target)

    @classmethod
    def read_inputs(cls, options: Any, base: Path, names: tuple[str, ...]) -> InputTable:
        """The input arrays alone; raises `SpecError` as `read` does."""
        from ...data.arrays import inputs_from_arrays

        with group_errors(options.path):
            group, _, _ = open_group(options, base)

            def values(name: str) -> np.ndarray:
                return StoredArray(group, name, options).rows(slice(None))

            return inputs_from_arrays(sorted(group.array_keys()), values, options.inputs)

    @staticmethod
    def chunks(options: Any, base: Path) -> ChunkedTable:
        """The table by the chunks of its arrays along their rows; raises `SpecError` as `read` does."""
        with group_errors(options.path):
            return ZarrChunks(options, base)


class ZarrChunks(ChunkedTable):
    """As many rows at a time as the longest chunk of the arrays has, or a multiple where that is little."""

    def __init__(self, options: Any, base: Path):
        import numpy as np

        from ...data.addresses import fingerprint
        from ...data.arrays import check_arrays

        group, system, place = open_group(options, base)
        self.options = options
        self.names = sorted(group.array_keys())
        used = [name for name in (*options.inputs, *options.target) if name in self.names]
        self.stored = {name: StoredArray(group, name, options) for name in used}
        arrays = {name: stored.array for name, stored in self.stored.items()}
        check_arrays(self.names, arrays, options.inputs, options.target)
        self._row_numbers = sum(int(np.prod(array.shape[1:])) for array in arrays.values())
        total = next(iter(arrays.values())).shape[0]
        rows = max(array.chunks[0] for array in arrays.values())
        rows *= max(1, LEAST_CHUNK // max(1, 8 * self.row_numbers * rows))
        self.begins = np.arange(0, total, rows, dtype=np.int64)
        self.chunk_rows = np.diff(np.append(self.begins, total))
        description = str([(name, array.metadata.to_dict()) for name, array in arrays.items()])
        self._fingerprint = fingerprint(system, place, description)

    @property
    def row_numbers(self) -> int:
        return self._row_numbers

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, chunk: int) -> Table:
        from ...data.arrays import table_from_arrays

        begin = int(self.begins[chunk])
        rows = slice(begin, begin + int(self.chunk_rows[chunk]))
        get = {name: stored.rows(rows) for name, stored in self.stored.items()}
        return table_from_arrays(self.names, get.__getitem__, self.options.inputs, self.options.target)


class StoredArray:
    """An array of a group, read as its attributes say that it is packed.

    Where xarray has written format 2, the fill value of the storage stands for missing values.
    """

    def __init__(self, group: zarr.Group, name: str, options: Any):
        from ...data.packing import packing_of

        self.array = without_pickle(group, name)
        attributes = dict(self.array.attrs)
        by_xarray = self.array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in attributes
        fill_value = self.array.metadata.fill_value if by_xarray else None
        key = "data.target" if name in options.target else "data.inputs"
        if any(size < 1 for size in self.array.chunks):
            raise SpecError.single(
                key,
                f"array {name!r} has chunks of shape {self.array.chunks}; expected 1 or more along each axis",
                "its metadata is damaged: write the array again",
            )
        self.packing = packing_of(name, self.array.dtype, attributes, fill_value, key)

    def rows(self, rows: slice) -> np.ndarray:
        """Values of some rows; raises what `zarr` does."""
        import numpy as np

        stored = self.array[rows] if self.array.ndim else self.array[...]
        return self.packing.unpack(np.asarray(stored))


def open_group(options: Any, base: Path) -> tuple[zarr.Group, Any, str]:
    """The group of arrays, the file system that holds it, and its place there."""
    import zarr

    from ...data.addresses import file_system, is_address, with_variables

    system, place = file_system(base, options.path, options.storage_options, folder=True)
    if not is_address(options.path):
        return zarr.open_group(place, mode="r"), system, place
    store = zarr.storage.FsspecStore.from_url(
        options.path, storage_options=with_variables(options.storage_options), read_only=True
    )
    return zarr.open_group(store, mode="r"), system, place


def without_pickle(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group; raises `ValueError` where reading it could run code, or where it is no array."""
    import zarr

    array = group[name]
    if not isinstance(array, zarr.Array):
        raise ValueError(f"{name!r} is a group; expected an array")
    stored = array.metadata.to_dict()
    if "pickle" in str([stored.get(key) for key in ("codecs", "filters", "compressor")]).lower():
        raise ValueError(f"array {name!r} is stored with pickle, which could run code when it is read")
    return array


@contextmanager
def group_errors(path: str) -> Iterator[None]:
    """What zarr raises for something that is no group of arrays, as a `SpecError`."""
    from ...data.files import not_the_format

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise not_the_format(path, "a Zarr group of arrays", error) from error
