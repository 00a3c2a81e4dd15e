"""In which order the rows of a table larger than memory are learned from: a function of seed, stage and step alone.

In every epoch the chunks are permuted and cut into buffers of so many chunks; the rows of a buffer are permuted, and
minibatches are cut from the rows of all epochs one after another. Single random rows would each cost a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..distributions.counter_noise import member_key


def seeded_permutation(name: str, length: int) -> np.ndarray:
    """A permutation of so many numbers that depends on a name alone."""
    key = np.array(member_key(name), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(length)


@dataclass(frozen=True)
class Buffer:
    """Chunks that are shuffled together, and how many rows they have; buffers are numbered through all epochs."""

    number: int
    chunks: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Piece:
    """Rows `begin` to `end` of a buffer in its order."""

    buffer: Buffer
    begin: int
    end: int


@dataclass(frozen=True, eq=False)
class StreamOrder:
    """The order for a seed and a stage, of chunks with `chunk_rows` (chunks,) rows each, which may be 0."""

    seed: int
    stage: str
    chunk_rows: np.ndarray
    buffer_chunks: int
    batch_size: int

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return int(self.chunk_rows.sum())

    @property
    def buffers(self) -> int:
        """Buffers of an epoch."""
        return -(-len(self.chunk_rows) // self.buffer_chunks)

    def buffer(self, number: int) -> Buffer:
        """The buffer of a number from 0 on."""
        epoch, place = divmod(number, self.buffers)
        order = permutation_of_chunks(self.seed, self.stage, epoch, len(self.chunk_rows))
        chunks = order[place * self.buffer_chunks : (place + 1) * self.buffer_chunks]
        return Buffer(number, tuple(chunks.tolist()), int(self.chunk_rows[chunks].sum()))

    def places(self, buffer: Buffer) -> np.ndarray:
        """Where each row of a buffer, in the order of its chunks, stands in it, (rows,)."""
        return seeded_permutation(f"stream rows/{self.seed}/{self.stage}/{buffer.number}", buffer.rows)

    def pieces(self, step: int) -> Iterator[Piece]:
        """The minibatch of a step: rows step · batch_size to (step + 1) · batch_size of the rows of all epochs."""
        position, left = step * self.batch_size, self.batch_size
        epoch, offset = divmod(position, self.rows)
        number = epoch * self.buffers
        while left > 0:
            buffer = self.buffer(number)
            if offset < buffer.rows:
                end = min(buffer.rows, offset + left)
                yield Piece(buffer, offset, end)
                left -= end - offset
                offset = end
            offset -= buffer.rows
            number += 1


@lru_cache(maxsize=4)
def permutation_of_chunks(seed: int, stage: str, epoch: int, chunks: int) -> np.ndarray:
    """The order of the chunks in one epoch."""
    return seeded_permutation(f"stream chunks/{seed}/{stage}/{epoch}", chunks)
