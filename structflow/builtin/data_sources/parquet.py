"""Tables in Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ...plugins import ColumnOptions, DataSource, Table


class ParquetOptions(ColumnOptions):
    """Where the file is."""

    path: str = Field(min_length=1, description="File, from the folder of the spec.")


class Parquet(DataSource):
    """One Parquet file; only the columns in use are read. Null values are missing values, which are refused."""

    type = "parquet"
    Options = ParquetOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't Parquet, and for unknown columns."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        from ...data.columns import choose_columns, table_from_frame
        from ...data.files import existing_path, not_the_format

        path = existing_path(base, options.path)
        try:
            with ParquetFile(path) as file:
                inputs, targets = choose_columns(file.schema_arrow.names, options)
                frame = file.read(columns=[*inputs, *targets]).to_pandas(ignore_metadata=True)
        except (ArrowException, OSError, ValueError) as error:
            raise not_the_format(options.path, "Parquet", error) from error
        return table_from_frame(frame, inputs, targets)
