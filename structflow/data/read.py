"""From the `data` block of a spec to a prepared dataset."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpecError
from ..plugins import ChunkedTable, DataOptions, DataSource, StreamOptions, TargetKind
from ..plugins.calling import Calling, broken_contract, named_plugin
from ..store.names import LOCATION, PLAN
from ..store.run_directory import RunDirectory
from .dataset import Dataset
from .keys import rows_key
from .opening import is_streamed, open_stream
from .prepare import check_contract, prepare
from .stream import Location

UNREADABLE = (OSError, ValueError, EOFError, MemoryError)
"""Errors of a source that are reported as problems of the data."""


def load_dataset(
    source_plugin: type[DataSource],
    options: DataOptions,
    base: Path,
    target_kind: TargetKind,
    earlier: Path | None = None,
) -> Dataset:
    """Read the table that `options` describe and prepare it; relative paths start at `base`.

    A table that is streamed is read once, unless it is the one that the run in `earlier` was started with. Raises
    `SpecError` for data that can't be read or used, `PluginError` for a source that breaks its contract.
    """
    try:
        if isinstance(options, StreamOptions) and options.stream is not False:
            with Calling(source_plugin, "chunks", through=UNREADABLE):
                chunked = source_plugin.chunks(options, base)
            if not isinstance(chunked, ChunkedTable | None):
                raise broken_contract(source_plugin, "chunks", type(chunked).__name__, "a ChunkedTable, or None")
            if chunked is not None and is_streamed(options, chunked):
                known = None if earlier is None else stored_stream(earlier, options, chunked, target_kind, base)
                return known or open_stream(chunked, options, target_kind, base)
        with Calling(source_plugin, "read", through=UNREADABLE):
            table = source_plugin.read(options, base)
    except UNREADABLE as error:
        remedy = "check that the file is complete and of the format that the source reads"
        if isinstance(error, MemoryError):
            remedy = "store it as Parquet or Zarr, which are read by minibatch (data.stream: true), or take fewer rows"
        message = f"source {source_plugin.type} can't read this: {type(error).__name__}: {error}"
        raise SpecError.single(rows_key(options), message, remedy) from error
    check_contract(table, named_plugin(source_plugin))
    return prepare(table, options, target_kind)


def stored_stream(
    run: Path, options: StreamOptions, table: ChunkedTable, target_kind: TargetKind, base: Path
) -> Dataset | None:
    """The dataset that a run was started with, where the source has the fingerprint that it had; None elsewhere."""
    directory = RunDirectory(run)
    if not directory.has(PLAN) or not directory.has(LOCATION):
        return None
    known = Location.model_validate(directory.read_sealed(LOCATION))
    wanted = {**options.model_dump(mode="json", by_alias=True), "stream": known.options["stream"]}
    if known.fingerprint != table.fingerprint or known.options != wanted:
        return None
    dataset = Dataset.load(directory.data, known.model_copy(update={"base": str(base.resolve())}))
    return dataset if dataset.target_kind == target_kind else None
