"""A table that stays in its source: what is known of it after one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

ROW_BYTES = 8
"""Bytes of a number in double precision, in which a buffer is counted."""


class Location(BaseModel):
    """Where the source is found: what it is read with and from, and the fingerprint of its content there.

    `options` is the `data` block as plain data. All of it may change with a copy of the table.
    """

    model_config = ConfigDict(frozen=True)

    base: str
    fingerprint: str
    options: dict[str, JsonValue]


@dataclass(frozen=True, eq=False)
class Stream:
    """A streamed table of `rows` rows, `train_rows` of them to train on.

    `content` is the SHA-256 of all values and `split` says which rows are held out, as plain data. `chunk_train_rows`
    (chunks,) are the training rows of every chunk, of which `buffer_chunks` make a buffer.
    """

    content: str
    split: dict[str, JsonValue]
    rows: int
    train_rows: int
    test_rows: int
    buffer_chunks: int
    chunk_train_rows: np.ndarray
    location: Location

    def as_json(self) -> dict[str, JsonValue]:
        """Everything but the counts, which are an array, and the location, which may change."""
        names = ("content", "split", "rows", "train_rows", "test_rows", "buffer_chunks")
        return {name: getattr(self, name) for name in names}

    def at(self, location: Location) -> Stream:
        """The same content found elsewhere."""
        return replace(self, location=location)
