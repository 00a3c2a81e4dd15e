"""The contract of a data source: options in, one table out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from .options import Options
from .plugin import Plugin

if TYPE_CHECKING:
    import numpy as np

    from .chunked_table import ChunkedTable


def one_name_as_list(value: Any) -> Any:
    """A single name stands for the list of just that name."""
    return (value,) if isinstance(value, str | int | float) else value  # a number is refused as the name it stands for


ColumnNames = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(one_name_as_list, json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]),
]
"""One column name or a list of them; read as a tuple."""


class SplitOptions(Options):
    """Rows held out for the test metrics; they never touch training or the choice."""

    test: float = Field(0.0, ge=0.0, lt=1.0, description="Share of the rows held out.")
    seed: int = Field(0, ge=0, description="Seed of the random split; the same rows for every seed of the study.")
    rows: Literal["random", "last"] = Field(
        "random", description="Which rows are held out; the last ones where rows stand in the order of time."
    )


class StandardizeOptions(Options):
    """Shift and scale to zero mean and unit variance, with the moments of the training rows."""

    inputs: bool | Literal["together"] = Field(
        True,
        description="Every input column by its own moments; or all by the same, which pixels and the steps of a "
        "series need.",
    )
    targets: bool = Field(True, description="Only where the likelihood is over continuous targets.")


class DataOptions(Options):
    """Keys every data source has besides its own."""

    split: SplitOptions = SplitOptions()
    standardize: StandardizeOptions = StandardizeOptions()


class ColumnOptions(DataOptions):
    """Keys of the sources that read a table with named columns."""

    target: ColumnNames = Field(description="Column, or list of columns, to predict.")
    inputs: ColumnNames | None = Field(None, description="Input columns; by default all that are not targets.")


@dataclass(frozen=True)
class Table:
    """What a source read: inputs (rows, *input_shape) in float64; targets (rows, targets), numbers or labels."""

    inputs: np.ndarray
    targets: np.ndarray
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]


class DataSource(Plugin):
    """Reads a table. Errors are `SpecError`s whose path starts with `data.`."""

    Options: ClassVar[type[DataOptions]] = DataOptions
    key: ClassVar[str] = "source"

    @staticmethod
    @abstractmethod
    def read(options: Any, base: Path) -> Table:
        """The whole table; relative paths start at `base`, the folder of the spec."""

    @staticmethod
    def chunks(options: Any, base: Path) -> ChunkedTable | None:
        """The same table to be read chunk by chunk; None where the source reads it as a whole.

        A source that has one derives its options from `StreamOptions`.
        """
        return None
