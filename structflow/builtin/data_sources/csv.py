"""Tables in text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ...plugins import ColumnOptions, DataSource, InputTable, Table

if TYPE_CHECKING:
    import pandas


class CsvOptions(ColumnOptions):
    """Where the file is, what separates its fields, and how its numbers are written."""

    path: str = Field(min_length=1, description="File, from the folder of the spec.")
    separator: str = Field(",", min_length=1, max_length=1, description="The character between two fields.")
    decimal: str = Field(".", min_length=1, max_length=1, description="The character of the decimal point.")
    thousands: str | None = Field(
        None, min_length=1, max_length=1, description="The character between thousands, where numbers have one."
    )
    missing_values: tuple[str, ...] | None = Field(
        None,
        description="Words that stand for missing values, besides empty fields; by default `NA`, `nan`, `null` and "
        "other usual ones. With `[]` no word does.",
    )

    @model_validator(mode="after")
    def _different_characters(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; expected different characters")
        return self


class Csv(DataSource):
    """A text file in UTF-8 whose first line names the columns; compressed if its name ends in `.gz`, `.xz`, etc.

    Empty fields and the words of `missing_values` are missing values, which are refused.
    """

    type = "csv"
    Options = CsvOptions
    suffixes = (".csv", ".tsv", ".txt")

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table; raises `SpecError` for a file that is missing or isn't such a table, and for unknown columns."""
        from ...data.columns import choose_columns, table_from_frame

        inputs: tuple[str, ...] = ()
        targets: tuple[str, ...] = ()

        def choose(names: Sequence[str]) -> list[str]:
            nonlocal inputs, targets
            inputs, targets = choose_columns(names, options)
            return [*inputs, *targets]

        frame, missing_text = read_frame(options, base, choose)
        return table_from_frame(frame, inputs, targets, missing_text)

    @classmethod
    def read_inputs(cls, options: Any, base: Path, names: tuple[str, ...]) -> InputTable:
        """These columns of a file that may lack the targets and have others; raises `SpecError` as `read` does."""
        from ...data.columns import choose_inputs, inputs_from_frame

        frame, missing_text = read_frame(options, base, lambda present: choose_inputs(present, names))
        return inputs_from_frame(frame, names, missing_text)


def read_frame(
    options: Any, base: Path, choose: Callable[[Sequence[str]], Sequence[str]]
) -> tuple[pandas.DataFrame, dict[str, str]]:
    """The file as a data frame, and the word of the first missing field of every column in use that has a word there.

    `choose` says which of the names of all columns are in use.
    """
    import zlib
    from lzma import LZMAError

    import pandas

    from ...data.files import existing_path, not_the_format

    path = existing_path(base, options.path)
    how: dict[str, Any] = {"sep": options.separator, "skipinitialspace": True, "encoding": "utf-8"}
    numbers: dict[str, Any] = {"decimal": options.decimal, "thousands": options.thousands}
    if options.missing_values is not None:
        numbers |= {"na_values": ["", *options.missing_values], "keep_default_na": False}
    try:
        # Two lines, so that rows with more fields than the header are an error here: with the header taken as
        # names, pandas would silently make the first field of every row a row label and shift the others.
        start = pandas.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False, **how)
        names = [str(name) for name in start.iloc[0]]
        if any(character < " " and not character.isspace() for name in names for character in name):
            raise ValueError("its first line holds control characters")
        used = choose(names)
        frame = pandas.read_csv(path, header=0, low_memory=False, **how, **numbers)
        frame.columns = pandas.Index(names)
        frame = frame[list(used)]
        gaps = [name for name in used if frame[name].isna().any()]
        if not gaps:
            return frame, {}
        texts = pandas.read_csv(path, header=0, dtype=str, keep_default_na=False, **how)
    except UnicodeDecodeError as error:
        reason = f"it isn't text in UTF-8: {error}"
        remedy = "save it in UTF-8, or choose the source for its format"
        raise not_the_format(options.path, "a text table", reason, remedy) from error
    except pandas.errors.ParserError as error:
        remedy = "give every line as many fields as the first one has, or correct `separator`"
        raise not_the_format(options.path, "a text table", error, remedy) from error
    except (ValueError, TypeError, EOFError, OSError, zlib.error, LZMAError) as error:
        raise not_the_format(options.path, "a text table", error) from error
    texts.columns = pandas.Index(names)
    first = {name: str(texts[name].iloc[int(frame[name].isna().to_numpy().argmax())]) for name in gaps}
    return frame, {name: text for name, text in first.items() if text}
