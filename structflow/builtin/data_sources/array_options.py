"""Options of the sources that read named arrays."""

from __future__ import annotations

from pydantic import Field

from ...plugins import DataOptions
from ...plugins.data_source import ColumnNames


class ArrayOptions(DataOptions):
    """Which arrays are the inputs and which the targets; every array has one row a case."""

    path: str = Field(min_length=1, description="File or folder, from the folder of the spec.")
    inputs: ColumnNames = Field(("x",), description="Input array (rows, ...), or list of arrays (rows, columns).")
    target: ColumnNames = Field(("y",), description="Target array (rows,) or (rows, targets), or list of arrays.")
