"""Every row once an epoch, whatever is read again; two buffers at most."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from structflow.train.minibatch_stream import MinibatchStream
from structflow.train.stream_order import StreamOrder

CHUNKS = np.array([5, 0, 7, 3, 6, 4, 5])
"""Training rows of the chunks: 30 in all, one chunk has none."""

BEGINS = np.concatenate([[0], np.cumsum(CHUNKS)])


def read(chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose input is their number in the table and whose target is its square."""
    numbers = np.arange(BEGINS[chunk], BEGINS[chunk + 1], dtype=float).reshape(-1, 1)
    return numbers, numbers**2


def stream(batch_size: int = 4, seed: int = 0, stage: str = "train/0", buffer_chunks: int = 2, reader=read):
    order = StreamOrder(seed, stage, CHUNKS, buffer_chunks, batch_size)
    return MinibatchStream(order, reader, torch.float64, torch.device("cpu"))


def numbers(minibatches: MinibatchStream, steps: range) -> list[int]:
    return [int(value) for step in steps for value in minibatches.at(step)[0][:, 0]]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30, 45])
def test_every_row_is_seen_once_an_epoch(batch_size):
    """Of 90 rows that steps take, each run of 30 holds 0 to 29; batches go on over buffers and epochs."""
    with stream(batch_size) as minibatches:
        steps = range(90 // batch_size)
        seen = numbers(minibatches, steps)
        assert len(seen) == batch_size * len(steps)
        for epoch in range(len(seen) // 30):
            assert sorted(seen[30 * epoch : 30 * (epoch + 1)]) == list(range(30))
        x, y = minibatches.at(1)
        assert torch.equal(y, x.square())


def test_epochs_seeds_and_stages_have_orders_of_their_own():
    with stream() as one, stream(seed=1) as other, stream(stage="train/1") as later:
        orders = [
            numbers(one, range(7)),
            numbers(one, range(8, 15)),
            numbers(other, range(7)),
            numbers(later, range(7)),
        ]
    assert len({tuple(order) for order in orders}) == 4


def test_chunks_of_a_buffer_are_mixed_and_others_are_not():
    """With buffers of two chunks a batch of four never holds rows of more than two buffers, that is of four chunks."""
    with stream() as minibatches:
        order = minibatches.order
        first = order.buffer(0)
        taken = numbers(minibatches, range(first.rows // 4))
        chunks = set(np.searchsorted(BEGINS, taken, side="right") - 1)
    assert chunks <= set(first.chunks)
    assert len(first.chunks) == 2


def test_a_step_is_the_same_wherever_one_begins():
    """Steps in order, backwards, and from the middle by a stream that begins there."""
    with stream() as minibatches:
        in_order = [minibatches.at(step)[0] for step in range(20)]
        backwards = [minibatches.at(step)[0] for step in reversed(range(20))][::-1]
    with stream() as minibatches:
        from_the_middle = [minibatches.at(step)[0] for step in range(11, 20)]
    assert all(map(torch.equal, in_order, backwards))
    assert all(map(torch.equal, in_order[11:], from_the_middle))


def test_two_buffers_are_held_at_most_and_one_is_read_ahead():
    """After the first batch of buffer 0 its chunks and those of buffer 1 have been read, and no others."""
    chunks, done = [], threading.Event()
    wanted = stream().order

    def reader(chunk: int) -> tuple[np.ndarray, np.ndarray]:
        assert threading.current_thread().name.startswith("structflow-rows")
        chunks.append(chunk)
        if chunk == [each for each in wanted.buffer(1).chunks if CHUNKS[each]][-1]:
            done.set()
        return read(chunk)

    with stream(reader=reader) as minibatches:
        minibatches.at(0)
        assert done.wait(10)
        present = [each for number in (0, 1) for each in wanted.buffer(number).chunks if CHUNKS[each]]
        assert chunks == present
    assert minibatches.held is None


def test_what_reading_raises_reaches_the_step():
    def reader(chunk: int) -> tuple[np.ndarray, np.ndarray]:
        raise OSError("the network is down")

    with stream(reader=reader) as minibatches, pytest.raises(OSError, match="the network is down"):
        minibatches.at(0)
