"""Scripts that start worker processes without `if __name__ == "__main__":`.

A worker process imports the main script first, as Python does with every process that it spawns. A call of
`structflow.run` at the script's top level is then met again in each worker.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CallError, ClusterError

VARIABLE = "STRUCTFLOW_IMPORTED_AGAIN"
"""Environment variable of starting workers: the file by which one reports that it reached the call again."""

MISSING_GUARD = (
    "this script starts worker processes, and each of them imports the script and reaches the same call; put the call "
    'under `if __name__ == "__main__":`'
)


@contextmanager
def starting_workers() -> Iterator[None]:
    """While worker processes of this machine are started.

    Raises `CallError` where the main script lacks its guard, `ClusterError` where workers can't start otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="structflow-") as folder:
        mark = Path(folder) / "imported_again"
        os.environ[VARIABLE] = str(mark)
        try:
            yield
        except RuntimeError as error:  # of Dask: a process ended before it was a worker
            if mark.exists():
                raise CallError(MISSING_GUARD) from None
            raise ClusterError(f"the worker processes can't be started: {error}") from error
        finally:
            del os.environ[VARIABLE]


def leave_if_imported_again() -> None:
    """End a worker process that reaches the call which started it, and leave a note of that."""
    mark = os.environ.get(VARIABLE)
    if mark is not None:
        Path(mark).touch()
        raise SystemExit(1)
