"""The training rows of a streamed table, read again from its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StorageError
from ..plugins import ChunkedTable
from ..plugins.registry import registry
from .dataset import Dataset
from .split import StreamSplit


class TrainingRows:
    """Reads the training rows of a streamed table chunk by chunk, prepared as its sample is."""

    def __init__(self, dataset: Dataset):
        assert dataset.stream is not None
        self.dataset, self.stream = dataset, dataset.stream
        location = self.stream.location
        source = registry().get("data_sources", str(location.options["source"]))
        model = registry().of_kind("data_sources")[source.type].options
        options: Any = model.model_validate(location.options)
        self.path = str(options.path)
        table: ChunkedTable | None = source.chunks(options, Path(location.base))
        if table is None or table.fingerprint != location.fingerprint:
            raise StorageError(
                f"{self.path} has changed since the run began; bring the old content back and run the same command "
                "again, or start a new run (-o)"
            )
        self.table = table
        self.split = StreamSplit(self.stream.rows, options.split)
        self.begins = np.concatenate([[0], np.cumsum(table.chunk_rows)])

    @property
    def chunk_rows(self) -> np.ndarray:
        """Training rows of every chunk, (chunks,)."""
        return self.stream.chunk_train_rows

    def read(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Prepared inputs and targets of a chunk's training rows; raises `StorageError` where it can't be read."""
        try:
            table = self.table.read(chunk)
        except Exception as error:  # a file system raises what it likes
            raise StorageError(f"can't read rows of {self.path}: {type(error).__name__}: {error}") from error
        begin, end = int(self.begins[chunk]), int(self.begins[chunk + 1])
        train = ~self.split.held_out(begin, end)
        if len(table.inputs) != end - begin or train.sum() != self.chunk_rows[chunk]:
            raise StorageError(
                f"rows {begin + 1} to {end} of {self.path} are no longer what they were: start a new run"
            )
        return self.dataset.prepared(table.inputs[train], table.targets[train])
