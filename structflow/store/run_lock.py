"""One driver at a time on a run directory, by a lock that the kernel drops with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError
from .names import LOCK
from .own_folder import OwnFolder, kind_of

MOST_LOCK_BYTES = 4096
"""Far more than a process and the name of a host."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run directory; raises `StorageError` naming process and host where another driver holds it.

    The lock is `flock`'s: it ends with the process, however that ends, so nobody needs to remove anything. Its file is
    the only one that is written in place. So it has to be a regular file with a single name, empty or with the content
    of a lock: anything else that stands at its name, or is linked to it, is never overwritten.
    """
    path = folder / LOCK
    refuse_foreign_lock(folder)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OwnFolder(folder).is_link(LOCK) from error
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error
    try:
        refuse_foreign_lock(folder, os.fstat(descriptor))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"the run in {folder} is being carried out by {holder(descriptor)}; wait for it, stop it, or use "
                "another directory (-o)"
            ) from error
        content = os.pread(descriptor, MOST_LOCK_BYTES, 0)
        if content and holder(descriptor) == NOBODY:
            raise StorageError(f"{path} holds something that structflow didn't write; move it elsewhere")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def refuse_foreign_lock(folder: Path, state: os.stat_result | None = None) -> None:
    """Raise `StorageError` where the lock of a run directory is a link, a device, or has another name elsewhere."""
    path = folder / LOCK
    try:
        state = state or os.lstat(path)
    except OSError:  # opening it says what is wrong, or makes it
        return
    if stat.S_ISLNK(state.st_mode):
        raise OwnFolder(folder).is_link(LOCK)
    if not stat.S_ISREG(state.st_mode):
        raise StorageError(f"{path} is a {kind_of(state)}; expected a regular file of structflow's own: move it away")
    if state.st_nlink > 1:
        raise StorageError(
            f"{path} has other names (hard links), whose content would be overwritten; remove it: it will be made again"
        )
    if state.st_size > MOST_LOCK_BYTES:
        raise StorageError(f"{path} has {state.st_size:,} bytes, which structflow didn't write; move it elsewhere")


NOBODY = "another process"


def holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file says."""
    try:
        stored = json.loads(os.pread(descriptor, MOST_LOCK_BYTES, 0))
        return f"process {stored['pid']} on {stored['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return NOBODY
