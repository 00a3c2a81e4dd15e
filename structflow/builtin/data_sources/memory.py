"""Rows that a Python program holds in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import SpecError
from ...plugins import DataSource, Table


class Memory(DataSource):
    """Rows given from Python, as the estimators do; the run directory keeps them. A spec file can't use it."""

    type = "memory"

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """Raises `SpecError`: there is nothing to read."""
        raise SpecError.single(
            "data.source",
            "'memory' stands for rows that a Python program holds; a spec by itself has none",
            "name a source that reads a file, such as csv",
        )
