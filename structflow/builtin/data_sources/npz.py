"""Arrays in NumPy's archive format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...plugins import DataSource, Table
from .array_options import ArrayOptions


class Npz(DataSource):
    """A file of `numpy.savez`; inputs may have any shape (rows, ...). Pickled objects are never read."""

    type = "npz"
    Options = ArrayOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't such an archive, and for unknown arrays."""
        import zipfile
        import zlib

        import numpy as np

        from ...data.arrays import table_from_arrays
        from ...data.files import existing_path, not_the_format

        path = existing_path(base, options.path)
        if not zipfile.is_zipfile(path):
            raise not_the_format(options.path, "an npz archive", "it isn't a zip archive")
        try:
            with np.load(path, allow_pickle=False) as archive:
                return table_from_arrays(archive.files, archive.__getitem__, options.inputs, options.target)
        except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise not_the_format(options.path, "an npz archive", error) from error
