"""The contract of a data source: options in, one table out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from .options import Options
from .plugin import BaseOptions, Plugin

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
    """Shift and scale to zero mean and unit variance, with the moments of the training rows.

    Under criteria that hold rows out they are those of the rows that each fold learns from.
    """

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
    """What a source read: inputs (rows, *input_shape) in float64; targets (rows, targets), numbers or labels.

    `missing_text` has, by the name of a column, the word in its first missing field, where there is one.
    """

    inputs: np.ndarray
    targets: np.ndarray
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    missing_text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InputTable:
    """Only the inputs of a table to predict for, as in `Table`."""

    inputs: np.ndarray
    input_names: tuple[str, ...]
    missing_text: Mapping[str, str] = field(default_factory=dict)


class DataSource(Plugin):
    """Reads a table. Errors are `SpecError`s whose path starts with `data.`."""

    Options: ClassVar[type[DataOptions]] = DataOptions
    key: ClassVar[str] = "source"

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of the names of the files it reads, such as `.csv`, by which `predict` finds the source of a table."""

    @classmethod
    def least_options(cls, of_kind: type[BaseOptions]) -> type[BaseOptions]:
        """`StreamOptions` for a source that reads chunks, which is asked for them by these keys."""
        from .chunked_table import StreamOptions

        return of_kind if cls.chunks is DataSource.chunks else StreamOptions

    @staticmethod
    @abstractmethod
    def read(options: Any, base: Path) -> Table:
        """The whole table; relative paths start at `base`, the folder of the spec."""

    @classmethod
    def read_inputs(cls, options: Any, base: Path, names: tuple[str, ...]) -> InputTable:
        """The inputs of a table to predict for, read as `read` reads those of the training table.

        `options` are those of the run with another `path`, `names` the run's input names. What is returned may be in
        another order and may have more columns: they are picked by name. A source of tables overrides it so that they
        may lack the targets; by default they are read too.
        """
        table = cls.read(options, base)
        return InputTable(table.inputs, table.input_names, table.missing_text)

    @staticmethod
    def chunks(options: Any, base: Path) -> ChunkedTable | None:
        """The same table to be read chunk by chunk; None where the source reads it as a whole.

        A source that has one derives its options from `StreamOptions`.
        """
        return None
