"""Tables in Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from ...errors import SpecError
from ...plugins import ChunkedTable, ColumnOptions, DataSource, StreamOptions, Table


class ParquetOptions(ColumnOptions, StreamOptions):
    """Where the file is."""

    path: str = Field(
        min_length=1,
        description="File, or folder of files, from the folder of the spec, or an address that fsspec knows.",
    )


class Parquet(DataSource):
    """One Parquet file, or a folder of them; only the columns in use are read.

    Null values are missing values, which are refused. The files of a folder follow one another by name, `part.10` after
    `part.9`.
    """

    type = "parquet"
    Options = ParquetOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't Parquet, and for unknown columns."""
        from pandas import concat

        from ...data.columns import table_from_frame

        with parquet_errors(options.path):
            table = ParquetChunks(options, base)
            frames = [table.frame(file, range(groups)) for file, groups in enumerate(table.groups)]
            return table_from_frame(concat(frames, ignore_index=True), table.inputs, table.targets)

    @staticmethod
    def chunks(options: Any, base: Path) -> ChunkedTable:
        """The table by row groups; raises `SpecError` as `read` does."""
        with parquet_errors(options.path):
            return ParquetChunks(options, base)


class ParquetChunks(ChunkedTable):
    """The row groups of the files, one after another."""

    def __init__(self, options: Any, base: Path):
        import numpy as np
        from pyarrow.parquet import read_metadata

        from ...data.addresses import file_system, fingerprint
        from ...data.columns import choose_columns

        self.system, place = file_system(base, options.path, options.storage_options, folder=None)
        self.files = parquet_files(self.system, place, options.path)
        self.metadata = []
        for file in self.files:
            with self.system.open(file) as opened:
                self.metadata.append(read_metadata(opened))
        names = [metadata.schema.to_arrow_schema().names for metadata in self.metadata]
        self.inputs, self.targets = choose_columns(names[0], options)
        refuse_other_columns(self.files, names, [*self.inputs, *self.targets])
        self.groups = [metadata.num_row_groups for metadata in self.metadata]
        self.places = [(file, group) for file, groups in enumerate(self.groups) for group in range(groups)]
        self.chunk_rows = np.array(
            [self.metadata[file].row_group(group).num_rows for file, group in self.places], dtype=np.int64
        )
        self._fingerprint = fingerprint(self.system, place, str([len(self.places), int(self.chunk_rows.sum())]))

    @property
    def row_numbers(self) -> int:
        return len(self.inputs) + len(self.targets)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, chunk: int) -> Table:
        from ...data.columns import table_from_frame

        file, group = self.places[chunk]
        return table_from_frame(self.frame(file, [group]), self.inputs, self.targets)

    def frame(self, file: int, groups: Any) -> Any:
        """Some row groups of a file as a data frame."""
        from pyarrow.parquet import ParquetFile

        with self.system.open(self.files[file]) as opened, ParquetFile(opened, metadata=self.metadata[file]) as parquet:
            table = parquet.read_row_groups(list(groups), columns=[*self.inputs, *self.targets], use_threads=False)
            return table.to_pandas(ignore_metadata=True)


def parquet_files(system: Any, place: str, path: str) -> list[str]:
    """The file at a place, or the Parquet files of the folder there, numbers in their names in order."""
    if not system.isdir(place):
        return [place]
    found = [name for name in system.find(place) if name.endswith((".parquet", ".parq", ".pq"))]
    if not found:
        raise SpecError.single("data.path", f"{path!r} is a folder without a .parquet file", "give the path of a table")

    def by_number(name: str) -> list[tuple[int, int | str]]:
        return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]

    return sorted(found, key=by_number)


def refuse_other_columns(files: list[str], names: list[list[str]], wanted: list[str]) -> None:
    """Raise `SpecError` where a file of a folder lacks a column that the first one has."""
    for file, present in zip(files, names, strict=True):
        missing = [name for name in wanted if name not in present]
        if missing:
            message = f"{file} has no column {missing[0]!r}, which {files[0]} has"
            raise SpecError.single("data.path", message, "remove the file, or give all files the same columns")


@contextmanager
def parquet_errors(path: str) -> Iterator[None]:
    """What reading something that isn't Parquet raises, as a `SpecError`."""
    from pyarrow import ArrowException

    from ...data.files import not_the_format

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise not_the_format(path, "Parquet", error) from error
