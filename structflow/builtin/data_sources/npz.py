"""Arrays in NumPy's archive format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SpecError
from ...plugins import DataSource, InputTable, Table
from .array_options import ArrayOptions

if TYPE_CHECKING:
    import numpy as np


class Npz(DataSource):
    """A file of `numpy.savez`; inputs may have any shape (rows, ...). Pickled objects are never read."""

    type = "npz"
    Options = ArrayOptions
    suffixes = (".npz",)

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't such an archive, and for unknown arrays."""
        from ...data.arrays import table_from_arrays

        with opened(options, base) as (names, get):
            return table_from_arrays(names, get, options.inputs, options.target)

    @classmethod
    def read_inputs(cls, options: Any, base: Path, names: tuple[str, ...]) -> InputTable:
        """The input arrays alone; raises `SpecError` as `read` does."""
        from ...data.arrays import inputs_from_arrays

        with opened(options, base) as (known, get):
            return inputs_from_arrays(known, get, options.inputs)


@contextmanager
def opened(options: Any, base: Path) -> Iterator[tuple[list[str], Callable[[str], np.ndarray]]]:
    """The names of an archive's arrays, and what reads one; what else it raises becomes a `SpecError`."""
    import zipfile
    import zlib

    import numpy as np

    from ...data.files import REMEDY, existing_path, not_the_format

    path = existing_path(base, options.path)
    if not zipfile.is_zipfile(path):
        with path.open("rb") as opened_file:
            single = opened_file.read(6) == b"\x93NUMPY"
        remedy = "save the arrays together, with numpy.savez" if single else REMEDY
        raise not_the_format(options.path, "an npz archive", "it isn't a zip archive", remedy)
    try:
        with np.load(path, allow_pickle=False) as archive:

            def get(name: str) -> np.ndarray:
                try:
                    values: np.ndarray = archive[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise holds_objects(name, name in options.target) from error
                return values

            yield archive.files, get
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise not_the_format(options.path, "an npz archive", error) from error


def holds_objects(name: str, is_target: bool) -> SpecError:
    """The error for an array of Python objects."""
    message = f"array {name!r} holds Python objects, which are never read, since reading them could run code"
    numbers = f"save numbers, {name}.astype(float)"
    remedy = f"save labels as text, {name}.astype(str), or {numbers}" if is_target else numbers
    return SpecError.single("data.target" if is_target else "data.inputs", message, remedy)
