"""Tables in text files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from ...plugins import ColumnOptions, DataSource, InputTable, Table

if TYPE_CHECKING:
    import pandas


DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
"""Numbers such as -1,5 and 1.234,5."""

GIVE_ALL_FIELDS = "give every line as many fields as the first one has, or correct `separator`"


def without_escape(value: Any) -> Any:
    r"""A tabulator for `\t`, as YAML reads `'\t'` and a shell passes it on; anything else as it is."""
    return "\t" if value == r"\t" else value


def list_of_words(value: Any) -> Any:
    """A list as it is; raises `ValueError` for a single word, which says nothing of what to do with such rows."""
    if isinstance(value, str):
        raise ValueError(
            f"{value!r} is one word; expected a list of the words that stand for missing values, such as [{value}] or "
            "[]; rows with missing values are not left out: remove them or fill them in"
        )
    return value


Character = Annotated[str, Field(min_length=1, max_length=1), BeforeValidator(without_escape)]


class CsvOptions(ColumnOptions):
    """Where the file is, what separates its fields, and how its numbers are written."""

    path: str = Field(min_length=1, description="File, from the folder of the spec.")
    separator: Character = Field(",", description="The character between two fields; `\\t` is a tabulator.")
    decimal: Character = Field(".", description="The character of the decimal point.")
    thousands: Character | None = Field(None, description="The character between thousands, where numbers have one.")
    missing_values: Annotated[tuple[str, ...], BeforeValidator(list_of_words)] | None = Field(
        None,
        description='Words that stand for missing values, besides empty fields, such as `[NA, "-"]`; by default `NA`, '
        "`nan`, `null` and other usual ones. With `[]` no word does. Rows with missing values are never left out.",
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
        remedy = likely_format(path, how) or GIVE_ALL_FIELDS
        raise not_the_format(options.path, "a text table", error, remedy) from error
    except (ValueError, TypeError, EOFError, OSError, zlib.error, LZMAError) as error:
        raise not_the_format(options.path, "a text table", error) from error
    texts.columns = pandas.Index(names)
    first = {name: str(texts[name].iloc[int(frame[name].isna().to_numpy().argmax())]) for name in gaps}
    return frame, {name: text for name, text in first.items() if text}


def likely_format(path: Path, how: Mapping[str, Any]) -> str | None:
    """The options that fit a file whose header is a single field as it is read, and whose rows are several.

    So is a table with semicolons and decimal commas, where each comma was taken for a separator. None for another file.
    """
    import pandas

    from ...data.columns import likely_separator

    as_text: dict[str, Any] = {**how, "header": None, "dtype": str, "keep_default_na": False}
    try:
        mark = likely_separator([str(name) for name in pandas.read_csv(path, nrows=1, **as_text).iloc[0]])
    except ValueError:  # not even that line is text
        return None
    if mark in (None, how["sep"]):
        return None
    options = {"separator": mark}
    try:
        values = [str(value) for value in pandas.read_csv(path, nrows=2, **{**as_text, "sep": mark}).iloc[-1]]
    except ValueError:  # the rows differ in their number of fields, whatever separates them
        values = []
    numbers = [text for text in values if DECIMAL_COMMA.fullmatch(text)]
    if numbers:
        options["decimal"] = ","
    if any("." in text for text in numbers):
        options["thousands"] = "."
    *others, last = (f"`{key}: {json.dumps(value)}`" for key, value in options.items())
    return f"set {', '.join(others)}{' and ' if others else ''}{last}, as the file seems to be written"
