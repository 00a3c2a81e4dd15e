"""One pass over a streamed table: everything that has to be known of all its rows before training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PluginError, Problem, SpecError
from ..plugins import ChunkedTable, StreamOptions, Table, TargetKind
from ..plugins.calling import Calling, named_plugin
from ..plugins.registry import registry
from . import keys
from .checks import Columns, finite_values, to_numbers, varying_values, whole_counts
from .dataset import Dataset
from .labels import encode, label_text, missing_labels
from .memory import memory_limit
from .prepare import check_contract, enough_rows, input_columns, prepare_labels, target_columns
from .row_sample import RowSample
from .running_moments import RunningMoments
from .split import StreamSplit
from .stream import ROW_BYTES, Location, Stream

MEMORY_SHARE = 4
"""A table that in double precision takes more than one part in so many of the memory is streamed by `auto`."""

BLOCK_NUMBERS = 2**18
"""Numbers that are looked at together."""

MOST_LABELS = 10_000
"""Different labels of a streamed table."""

Watcher = Callable[[int, int], None]
"""Told how many rows of how many have been read."""

WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Have `watcher` told how far a pass over a table is, while this is open."""
    token = WATCHER.set(watcher)
    try:
        yield
    finally:
        WATCHER.reset(token)


def is_streamed(options: StreamOptions, table: ChunkedTable) -> bool:
    """Whether the rows of a table stay in its source."""
    if options.stream != "auto":
        return options.stream
    size = ROW_BYTES * table.row_numbers * int(table.chunk_rows.sum())
    return size > memory_limit() // MEMORY_SHARE


def open_stream(table: ChunkedTable, options: StreamOptions, target_kind: TargetKind, base: Path) -> Dataset:
    """The dataset of a streamed table: a sample of its rows, prepared with the moments of all its training rows.

    Raises `SpecError` as `prepare` does, for the first chunk in which a value can't be used.
    """
    rows = int(table.chunk_rows.sum())
    if rows == 0:
        raise SpecError.single(keys.rows_key(options), "there are 0 rows; expected at least 2", "choose other data")
    buffer_chunks = chunks_of_buffer(table, options)
    found = Pass(options, target_kind, StreamSplit(rows, options.split))
    watcher, source = WATCHER.get(), registry().get("data_sources", options.model_dump()["source"])
    for chunk in range(len(table.chunk_rows)):
        with Calling(source, "chunks(…).read", through=(OSError, ValueError, EOFError)):
            rows_of_chunk = table.read(chunk)
        check_contract(rows_of_chunk, named_plugin(source))
        found.take(rows_of_chunk)
        if watcher is not None:
            watcher(found.rows, rows)
    location = Location(
        base=str(base.resolve()), fingerprint=table.fingerprint, options=options.model_dump(mode="json", by_alias=True)
    )
    return found.dataset(buffer_chunks, location)


def chunks_of_buffer(table: ChunkedTable, options: StreamOptions) -> int:
    """How many chunks of a table fit into a buffer; raises `SpecError` where not even one does."""
    largest = int(table.chunk_rows.max())
    size = ROW_BYTES * table.row_numbers * largest
    limit = options.buffer_mib * 2**20
    if size > limit:
        needed = -(-size // 2**20)
        raise SpecError.single(
            "data.buffer_mib",
            f"a chunk of {largest:,} rows takes {needed:,} MiB; expected at most {options.buffer_mib:,}",
            f"set it to {needed} or more, or store the table in smaller chunks",
        )
    return limit // size


@dataclass
class Pass:
    """What has been found in the rows so far."""

    options: StreamOptions
    target_kind: TargetKind
    split: StreamSplit
    rows: int = 0
    input_summary: Any = field(default_factory=hashlib.sha256)
    target_summary: Any = field(default_factory=hashlib.sha256)
    input_moments: RunningMoments | None = None
    target_moments: RunningMoments | None = None
    chunk_train_rows: list[int] = field(default_factory=list)
    labels: dict[bool, list[dict[str, Any]]] = field(default_factory=dict)
    first: Table | None = None
    samples: dict[bool, RowSample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Samples by whether their rows are held out."""
        for held_out, name in ((False, "train"), (True, "test")):
            self.samples[held_out] = RowSample(f"sample/{name}/{self.options.split.seed}", self.options.sample_rows)
            self.labels[held_out] = []

    @property
    def has_labels(self) -> bool:
        """Whether the targets are labels."""
        return self.target_kind in ("classes", "binary")

    @property
    def content(self) -> str:
        """The SHA-256 of those of all inputs and of all targets: the same for other chunks of the same rows."""
        return hashlib.sha256(self.input_summary.digest() + self.target_summary.digest()).hexdigest()

    def take(self, table: Table) -> None:
        """Check the rows of the next chunk and take them in; raises `SpecError`."""
        if self.first is None:
            self.first = replace(table, inputs=table.inputs[:0], targets=table.targets[:0])
        elif table.inputs.shape[1:] != self.first.inputs.shape[1:]:
            before, now = self.first.inputs.shape[1:], table.inputs.shape[1:]
            raise PluginError(f"the data source gave chunks with rows of shape {before} and {now}; expected one shape")
        size = max(1, BLOCK_NUMBERS // max(1, table.inputs[:1].size))
        self.chunk_train_rows.append(0)
        for begin in range(0, len(table.inputs), size):
            rows = slice(begin, begin + size)
            self.take_block(replace(table, inputs=table.inputs[rows], targets=table.targets[rows]))

    def take_block(self, table: Table) -> None:
        """The same for so few rows that a processor holds them near."""
        inputs, targets = self.checked(table)
        self.input_summary.update(little_endian(inputs))
        self.target_summary.update(little_endian(targets))
        held_out = self.split.held_out(self.rows, self.rows + len(inputs))
        train = ~held_out
        self.chunk_train_rows[-1] += int(train.sum())
        if train.any():
            self.input_moments = merged(self.input_moments, inputs[train])
            if not self.has_labels:
                self.target_moments = merged(self.target_moments, targets[train])
        for side, wanted in ((False, train), (True, held_out)):
            self.samples[side].offer(self.rows, wanted, inputs, targets)
            if self.has_labels and wanted.any():
                self.note_labels(side, targets[wanted])
        self.rows += len(inputs)

    def checked(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Inputs as numbers (rows, columns), and targets as numbers or labels; raises `SpecError`."""
        columns = replace(input_columns(table, self.options), first_row=self.rows)
        inputs, problems, text = to_numbers(table.inputs, columns, copy=False)
        problems += finite_values(inputs, columns, skip=text)
        aims = replace(target_columns(table, self.options, "choose another target"), first_row=self.rows)
        if self.has_labels:
            targets = table.targets
            problems += missing_labels(targets, encode(targets)[0], aims)
        else:
            targets, wrong, text = to_numbers(table.targets, aims, copy=False)
            problems += wrong + finite_values(targets, aims, skip=text)
            if self.target_kind == "counts":
                problems += whole_counts(targets, aims)
        if problems:
            raise SpecError(problems)
        return inputs, targets

    def note_labels(self, held_out: bool, targets: np.ndarray) -> None:
        """Remember the labels of every target column; raises `SpecError` where there are too many."""
        known = self.labels[held_out]
        if not known:
            known.extend({} for _ in range(targets.shape[1]))
        for column, found in enumerate(known):
            values = targets[:, column]
            for value in np.unique(values) if values.dtype != object else dict.fromkeys(values.tolist()):
                found.setdefault(label_text(value), value)
            if len(found) > MOST_LABELS:
                message = f"there are more than {MOST_LABELS:,} different labels; expected fewer in a streamed table"
                raise SpecError.single(keys.target_key(self.options), message, "choose another target or likelihood")

    def dataset(self, buffer_chunks: int, location: Location) -> Dataset:
        """The dataset, once all rows have been taken; raises `SpecError`."""
        assert self.first is not None
        n_train = sum(self.chunk_train_rows)
        problems = enough_rows(self.rows, n_train, self.options)
        if problems:
            raise SpecError(problems)
        assert self.input_moments is not None
        columns = input_columns(self.first, self.options)
        shift, scale, problems = shift_and_scale(self.input_moments, columns, self.options.standardize.inputs)
        aims = target_columns(self.first, self.options, "choose another target")
        classes: tuple[str, ...] = ()
        if self.has_labels:
            n_targets = self.first.targets.shape[1]
            target_shift, target_scale = np.zeros(n_targets), np.ones(n_targets)
            classes, wrong = self.classes()
        else:
            assert self.target_moments is not None
            wanted = self.target_kind == "continuous" and self.options.standardize.targets
            target_shift, target_scale, wrong = shift_and_scale(self.target_moments, aims, wanted)
        problems += wrong
        if problems:
            raise SpecError(problems)
        shape = self.first.inputs.shape[1:]
        stream = Stream(
            self.content,
            self.options.split.model_dump(mode="json", by_alias=True),
            self.rows,
            n_train,
            self.rows - n_train,
            buffer_chunks,
            np.array(self.chunk_train_rows, dtype=np.int64),
            location,
        )
        empty = Dataset(
            np.zeros((0, *shape)), np.zeros((0, self.first.targets.shape[1])),
            np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64),
            shift.reshape(shape), scale.reshape(shape), target_shift, target_scale,
            classes, tuple(self.first.input_names), tuple(self.first.target_names), self.target_kind, stream,
        )  # fmt: skip
        return with_sample(empty, [self.samples[False].rows(), self.samples[True].rows()])

    def classes(self) -> tuple[tuple[str, ...], list[Problem]]:
        """The labels in the order of their codes, and what is wrong with them, by a table that has each label once."""
        assert self.first is not None
        sides = [self.labels[False], self.labels[True]]
        blocks = [block_of([list(column.values()) for column in side]) for side in sides if side]
        table = replace(self.first, targets=np.concatenate(blocks))
        ends = np.cumsum([0, *(len(block) for block in blocks)])
        train, test = np.arange(ends[1]), np.arange(ends[1], ends[-1])
        part = prepare_labels(table, self.options, self.target_kind, train, test, least_rows=1)
        return part.classes, part.problems


def merged(moments: RunningMoments | None, values: np.ndarray) -> RunningMoments:
    """The moments so far with those of more rows."""
    more = RunningMoments.of(values)
    return more if moments is None else moments.merged(more)


def little_endian(values: np.ndarray) -> Any:
    """The values as bytes that are the same on every machine, labels as JSON."""
    if values.dtype.kind not in "biuf":
        return json.dumps([label_text(value) for value in values.ravel()]).encode()
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).data.cast("B")


def block_of(columns: list[list[Any]]) -> np.ndarray:
    """Columns of labels side by side, shorter ones filled up with their last label."""
    longest = max(map(len, columns))
    block = np.empty((longest, len(columns)), dtype=object)
    for index, labels in enumerate(columns):
        block[:, index] = [*labels, *[labels[-1]] * (longest - len(labels))]
    return block


def shift_and_scale(
    moments: RunningMoments, columns: Columns, wanted: bool | str
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Shift and scale of every column, (columns,) each, and what is wrong with them."""
    if not wanted:
        return np.zeros_like(moments.mean), np.ones_like(moments.mean), []
    used = moments.together() if wanted == "together" else moments
    scale = used.deviation
    problems = varying_values(scale, columns)
    large = [columns.name(index) for index in np.flatnonzero(~np.isfinite(scale)).tolist()]
    if large:
        message = f"{columns.role} column {large[0]!r}: its values are too large for their variance in double precision"
        problems.append(Problem(columns.key, message, "divide the column by a constant"))
    return used.mean, scale, problems


def with_sample(empty: Dataset, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray] | None]) -> Dataset:
    """A dataset with the rows of the training sample and of the test sample, each in the order of the table."""
    prepared = [empty.prepared(part[1], part[2]) for part in parts if part is not None]
    inputs, targets = (np.concatenate([pair[side] for pair in prepared]) for side in (0, 1))
    n_train = len(prepared[0][0])
    return replace(
        empty,
        inputs=inputs,
        targets=targets,
        train_rows=np.arange(n_train, dtype=np.int64),
        test_rows=np.arange(n_train, len(inputs), dtype=np.int64),
    )
