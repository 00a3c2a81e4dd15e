"""Tables in Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from ...errors import SpecError
from ...plugins import ChunkedTable, ColumnOptions, DataSource, InputTable, StreamOptions, Table

UNNAMED_LABELS = r"__index_level_\d+__"
"""What pandas calls a column of row labels that have no name."""


class ParquetOptions(ColumnOptions, StreamOptions):
    """Where the file is."""

    path: str = Field(
        min_length=1,
        description="File, or folder of files, from the folder of the spec, or an address that fsspec knows.",
    )


class Parquet(DataSource):
    """One Parquet file, or a folder of them; only the columns in use are read.

    Null values are missing values, which are refused. The files of a folder follow one another by name, `part.10` after
    `part.9`. Row labels (the index) that pandas has saved are no input, unless `inputs` lists them.
    """

    type = "parquet"
    Options = ParquetOptions
    suffixes = (".parquet", ".parq", ".pq")

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't Parquet, and for unknown columns."""
        from ...data.columns import table_from_frame

        with parquet_errors(options.path):
            table = ParquetChunks(options, base)
            return table_from_frame(table.whole(), table.inputs, table.targets)

    @classmethod
    def read_inputs(cls, options: Any, base: Path, names: tuple[str, ...]) -> InputTable:
        """These columns of a table that may lack the targets and have others; raises `SpecError` as `read` does."""
        from ...data.columns import inputs_from_frame

        with parquet_errors(options.path):
            table = ParquetChunks(options, base, names)
            return inputs_from_frame(table.whole(), table.inputs)

    @staticmethod
    def chunks(options: Any, base: Path) -> ChunkedTable:
        """The table by row groups; raises `SpecError` as `read` does."""
        with parquet_errors(options.path):
            return ParquetChunks(options, base)


class ParquetChunks(ChunkedTable):
    """The row groups of the files, one after another: of the columns in use, or of the inputs `only`."""

    def __init__(self, options: Any, base: Path, only: tuple[str, ...] | None = None):
        import numpy as np
        from pyarrow.parquet import read_metadata

        from ...data.addresses import file_system, fingerprint
        from ...data.columns import choose_inputs

        self.system, place = file_system(base, options.path, options.storage_options, folder=None)
        self.files = parquet_files(self.system, place, options.path)
        self.metadata = []
        for file in self.files:
            with self.system.open(file) as opened:
                self.metadata.append(read_metadata(opened))
        schemas = [metadata.schema.to_arrow_schema() for metadata in self.metadata]
        self.targets: tuple[str, ...] = ()
        if only is None:
            self.inputs, self.targets = columns_in_use(schemas[0], options)
            refuse_columns_in_paths(self.files, place, options)
        else:
            self.inputs = tuple(choose_inputs(schemas[0].names, only))
        refuse_other_columns(self.files, [schema.names for schema in schemas], [*self.inputs, *self.targets])
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

    def whole(self) -> Any:
        """All rows as a data frame."""
        from pandas import concat

        frames = [self.frame(file, range(groups)) for file, groups in enumerate(self.groups)]
        return concat(frames, ignore_index=True)

    def frame(self, file: int, groups: Any) -> Any:
        """Some row groups of a file as a data frame."""
        from pyarrow.parquet import ParquetFile

        with self.system.open(self.files[file]) as opened, ParquetFile(opened, metadata=self.metadata[file]) as parquet:
            table = parquet.read_row_groups(list(groups), columns=[*self.inputs, *self.targets], use_threads=False)
            return table.to_pandas(ignore_metadata=True)


def columns_in_use(schema: Any, options: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the input columns and of the target columns.

    Where the spec lists no inputs, row labels without a name that pandas has saved are no input, and those with a name
    are refused: only the user knows whether they are inputs.
    """
    from ...data.columns import choose_columns

    labels = row_labels(schema)
    unnamed = [name for name in labels if re.fullmatch(UNNAMED_LABELS, name) and name not in options.target]
    names = [name for name in schema.names if name not in unnamed]
    named = [name for name in labels if name in names and name not in options.target]
    chosen = choose_columns(schema.names if options.inputs is not None else names, options)
    if options.inputs is None and named:
        message = f"column {named[0]!r} holds the row labels (the index) of the pandas data frame that was saved"
        remedy = "list the columns to use in `inputs`, or save the table with index=False"
        raise SpecError.single("data.inputs", message, remedy)
    return chosen


def row_labels(schema: Any) -> list[str]:
    """The columns that hold the index of a pandas data frame, as its metadata say; none where they can't be read."""
    import json

    try:
        columns = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        return []
    return [name for name in columns if isinstance(name, str)]  # a range is a mapping, and no column


def refuse_columns_in_paths(files: list[str], place: str, options: Any) -> None:
    """Raise `SpecError` where folders are named `column=value`, as in a partitioned table: no file has that column."""
    inside = [part for file in files for part in file.removeprefix(place).split("/")[:-1]]
    names = list(dict.fromkeys(part.partition("=")[0] for part in inside if "=" in part))
    if names and (options.inputs is None or any(name in (*options.inputs, *options.target) for name in names)):
        message = f"column {names[0]!r} exists only in the names of folders, which aren't read"
        remedy = "save the table without partitions, or list in `inputs` the columns of the files to use"
        raise SpecError.single("data.path", message, remedy)


def parquet_files(system: Any, place: str, path: str) -> list[str]:
    """The file at a place, or the Parquet files of the folder there, numbers in their names in order."""
    from ...store.regular_files import special_file

    if not system.isdir(place):
        return [place]
    found = [name for name in system.find(place) if name.endswith((".parquet", ".parq", ".pq"))]
    if not found:
        raise SpecError.single("data.path", f"{path!r} is a folder without a .parquet file", "give the path of a table")

    for name in found:
        special = special_file(Path(name)) if "file" in system.protocol else None
        if special is not None:
            raise SpecError.single(
                "data.path", f"{path!r} holds {name!r}, which is {special}", "take it out of the folder"
            )

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
