"""One driver at a time on a run directory, by a lock that the kernel drops with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError

LOCK = "run.lock"
"""The file that is locked; it says who holds the lock, and stays when nobody does."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run directory; raises `StorageError` naming process and host where another driver holds it.

    The lock is `flock`'s: it ends with the process, however that ends, so nobody needs to remove anything.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"the run in {folder} is being carried out by {holder(path)}; wait for it, stop it, or use another "
                "directory (-o)"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who holds the lock, as far as its file says."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return f"process {stored['pid']} on {stored['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
