"""The contract of a table that is read a chunk of rows at a time, because it may be larger than memory."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from .data_source import DataOptions

if TYPE_CHECKING:
    import numpy as np

    from .data_source import Table

SECRET_WORDS = ("secret", "token", "password", "passwd", "credential", "key", "sas", "connection_string")
"""Words in the name of a storage option that make its value one that no file should hold."""

VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
"""A storage option that stands for the value of an environment variable."""

ADDRESS_WITH_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def storage_values(options: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in storage options that isn't a mapping, with its dotted name."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from storage_values(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


class StreamOptions(DataOptions):
    """Keys of the sources that can read a table by and by, at any address that fsspec knows."""

    stream: bool | Literal["auto"] = Field(
        "auto",
        description="Whether rows stay in the source and are read by minibatch; `auto`: where the table in double "
        "precision would take more than a quarter of the memory.",
    )
    sample_rows: int = Field(
        10_000,
        ge=100,
        description="Of a streamed table, the training rows that evidence and metrics are estimated on, and the "
        "test rows.",
    )
    buffer_mib: int = Field(
        256,
        ge=1,
        description="Of a streamed table, the most MiB of rows, in double precision, that are shuffled at a time; two "
        "such buffers are held.",
    )
    storage_options: dict[str, Any] = Field(
        {},
        description="What fsspec needs for the address, such as `{anon: true}`; `$NAME` stands for an environment "
        "variable, which secrets must be.",
    )

    @field_validator("storage_options")
    @classmethod
    def _no_secrets(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in storage_values(options):
            last = name.rpartition(".")[2].lower()
            is_open = value is None or isinstance(value, bool) or value == "anon" or VARIABLE.fullmatch(str(value))
            if any(word in last for word in SECRET_WORDS) and not is_open:
                raise ValueError(
                    f"{name} would be written into the run directory; name an environment variable that holds it, "
                    f"as in `{name}: $MY_SECRET`"
                )
        return options

    @field_validator("path", check_fields=False)
    @classmethod
    def _no_password(cls, path: str) -> str:
        if ADDRESS_WITH_PASSWORD.search(path):
            raise ValueError("the address holds a password; give it in `storage_options`, as `password: $MY_SECRET`")
        return path


class ChunkedTable(ABC):
    """A table as a source that can be read chunk by chunk offers it; its chunks in order are its rows in order.

    `chunk_rows` (chunks,) are the numbers of rows of the chunks, in int64. Reading one takes memory for its rows alone.
    Chunks are read from another thread while the program trains, one at a time.
    """

    chunk_rows: np.ndarray

    @property
    @abstractmethod
    def row_numbers(self) -> int:
        """How many numbers a row has, inputs and targets together."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What tells this content from another without reading it: sizes and times, or tags, of its files.

        An equal fingerprint means that nothing has changed; another one may come of a copy.
        """

    @abstractmethod
    def read(self, chunk: int) -> Table:
        """The rows of one chunk."""
