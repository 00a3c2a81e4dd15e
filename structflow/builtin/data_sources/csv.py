"""Tables in text files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ...plugins import ColumnOptions, DataSource, Table


class CsvOptions(ColumnOptions):
    """Where the file is and what separates its fields."""

    path: str = Field(min_length=1, description="File, from the folder of the spec.")
    separator: str = Field(",", min_length=1, max_length=1, description="The character between two fields.")


class Csv(DataSource):
    """A text file in UTF-8 whose first line names the columns; compressed if its name ends so (`.gz`, `.xz`, ...).

    Empty fields and the usual words for them (`NA`, `nan`, `null`) are missing values, which are refused.
    """

    type = "csv"
    Options = CsvOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't such a table, and for unknown columns."""
        import zlib
        from lzma import LZMAError

        import pandas

        from ...data.columns import choose_columns, table_from_frame
        from ...data.files import existing_path, not_the_format

        path = existing_path(base, options.path)
        how: dict[str, Any] = {"sep": options.separator, "skipinitialspace": True, "encoding": "utf-8"}
        try:
            # Two lines, so that rows with more fields than the header are an error here: with the header taken as
            # names, pandas would silently make the first field of every row a row label and shift the others.
            start = pandas.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False, **how)
            names = [str(name) for name in start.iloc[0]]
            if any(character < " " and not character.isspace() for name in names for character in name):
                raise ValueError("its first line holds control characters")
            inputs, targets = choose_columns(names, options)
            frame = pandas.read_csv(path, header=0, low_memory=False, **how)
        except (ValueError, TypeError, EOFError, OSError, zlib.error, LZMAError) as error:
            raise not_the_format(options.path, "a text table", error) from error
        frame.columns = pandas.Index(names)
        return table_from_frame(frame, inputs, targets)
