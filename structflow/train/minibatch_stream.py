"""Minibatches of a table larger than memory, read ahead in the background."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from .stream_order import Buffer, StreamOrder

Rows = tuple[Tensor, Tensor]
"""Inputs (rows, *shape) and targets (rows, …)."""

Reader = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""Prepared inputs and targets of the training rows of a chunk."""


@dataclass
class MinibatchStream:
    """The minibatch of any step, in the precision of training on its device.

    It holds two buffers at most: the one that minibatches are cut from, and the next one, which a thread fills
    meanwhile. Steps may be asked for in any order: a buffer that isn't there is read again. Close it, or use it as a
    context manager, to end the thread.
    """

    order: StreamOrder
    read: Reader
    dtype: torch.dtype
    device: torch.device
    held: tuple[int, Rows] | None = None
    ahead: tuple[int, Future[Rows]] | None = None
    ended: Event = field(default_factory=Event)
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "structflow-rows"))

    def __enter__(self) -> MinibatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread and let go of the buffers."""
        self.ended.set()
        self.thread.shutdown(wait=True, cancel_futures=True)
        self.held = self.ahead = None

    def at(self, step: int) -> Rows:
        """Inputs (batch_size, *shape) and targets (batch_size, …) of a step; raises what reading raises."""
        parts = []
        for piece in self.order.pieces(step):
            x, y = self._rows(piece.buffer)
            parts.append((x[piece.begin : piece.end], y[piece.begin : piece.end]))
            del x, y  # so that a buffer that is done with can go before the next but one is read
        x, y = (torch.cat(values) for values in zip(*parts, strict=True))
        return x.to(self.device), y.to(self.device)

    def _rows(self, buffer: Buffer) -> Rows:
        if self.held is None or self.held[0] != buffer.number:
            came_from = -1 if self.held is None else self.held[0]
            self.held = None
            self.held = buffer.number, self._taken(buffer)
            if buffer.number > came_from:  # a path that is followed backwards needs no next one
                following = self.order.buffer(buffer.number + 1)
                self.ahead = following.number, self.thread.submit(self._filled, following)
        return self.held[1]

    def _taken(self, buffer: Buffer) -> Rows:
        """The buffer that was read ahead, or one that is read now."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None and ahead[0] == buffer.number:
            return ahead[1].result()
        if ahead is not None:
            ahead[1].cancel()
        return self.thread.submit(self._filled, buffer).result()  # in the thread, after what it is reading

    def _filled(self, buffer: Buffer) -> Rows:
        """Read the chunks of a buffer, every row to its place."""
        places, begin = torch.from_numpy(self.order.places(buffer)), 0
        x = y = torch.empty(0, dtype=self.dtype)
        for chunk in buffer.chunks:
            if self.ended.is_set():
                break
            if self.order.chunk_rows[chunk] == 0:
                continue
            inputs, targets = (torch.from_numpy(part).to(self.dtype) for part in self.read(chunk))
            if begin == 0:
                x, y = (part.new_empty((buffer.rows, *part.shape[1:])) for part in (inputs, targets))
            rows = places[begin : begin + len(inputs)]
            x[rows], y[rows] = inputs, targets
            begin += len(inputs)
        return x, y
