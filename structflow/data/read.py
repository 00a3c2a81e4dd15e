"""From the `data` block of a spec to a prepared dataset."""

from __future__ import annotations

from pathlib import Path

from ..errors import SpecError
from ..plugins import DataOptions, DataSource, TargetKind
from .dataset import Dataset
from .keys import rows_key
from .prepare import prepare


def load_dataset(source_plugin: type[DataSource], options: DataOptions, base: Path, target_kind: TargetKind) -> Dataset:
    """Read the table that `options` describe and prepare it; relative paths start at `base`.

    Raises `SpecError` for data that can't be read or used, `PluginError` for a source that breaks its contract.
    """
    try:
        table = source_plugin.read(options, base)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise SpecError.single(
            rows_key(options),
            f"source {source_plugin.type} can't read this: {type(error).__name__}: {error}",
            "check that the file is complete and of the format that the source reads",
        ) from error
    return prepare(table, options, target_kind)
