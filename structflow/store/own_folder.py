"""Files of structflow's own below a folder, reached one name after the other and never through a link.

A run directory may come from somebody else, or lie where others can write. A symbolic link at a name that structflow
uses would make it read, overwrite or delete files elsewhere. So every folder on the way is opened by its name in the
one before (`openat` with `O_NOFOLLOW`): nothing that is put there meanwhile leads away either. The folder at the top is
named by the user, and may be reached through links.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ..errors import StorageError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO would wait for somebody who writes
WRITING = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

MOST_TEXT_BYTES = 2**30
"""Far more than any text that structflow writes: what is larger isn't read into memory."""

Kind = Literal["file", "folder", "link", "FIFO", "socket", "device"]

KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class Entry:
    """A name in a folder and what stands there."""

    name: str
    kind: Kind
    size: int


@dataclass(frozen=True)
class OwnFolder:
    """The folder `below` (a/b, or nothing) in `top`; names given to its methods are paths within it, such as c/d."""

    top: Path
    below: str = ""

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.top / self.below

    def within(self, name: str) -> OwnFolder:
        """A folder in it."""
        return OwnFolder(self.top, "/".join(self._parts(name)))

    def kind(self, name: str) -> Kind | None:
        """What stands at a name, not following links; None where nothing does."""
        try:
            with self._parent(name) as (folder, last):
                return kind_of(os.stat(last, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return None
        except OSError as error:
            if not self.top.is_dir():
                return None
            raise self._cant("read", name, error) from error

    def has(self, name: str) -> bool:
        """Whether a file or folder is there; raises `StorageError` for a link."""
        found = self.kind(name)
        if found == "link":
            raise self.is_link(name)
        return found is not None

    def state(self, name: str) -> os.stat_result:
        """Inode, time and size of a regular file; raises `StorageError` where there is none."""
        with self.open(name) as file:
            return os.fstat(file.fileno())

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A regular file, for reading; raises `StorageError` for anything else, and never waits.

        A file that isn't there is a `StorageError` whose cause is a `FileNotFoundError`.
        """
        try:
            with self._parent(name) as (folder, last):
                found = kind_of(os.stat(last, dir_fd=folder, follow_symlinks=False))
                if found != "file":
                    raise self._not_a_file(name, found)
                descriptor = os.open(last, READING, dir_fd=folder)
        except OSError as error:
            raise self._cant("read", name, error) from error
        with open(descriptor, "rb") as file:
            now = kind_of(os.fstat(file.fileno()))
            if now != "file":  # put there since it was looked at
                raise self._not_a_file(name, now)
            yield file

    def read(self, name: str, size: int | None = None) -> bytes:
        """The content of a regular file, of at most `size` bytes where that is known; raises `StorageError`."""
        most = MOST_TEXT_BYTES if size is None else size
        with self.open(name) as file:
            there = os.fstat(file.fileno()).st_size
            if there > most:
                raise StorageError(f"{self.path / name} has {there:,} bytes; expected at most {most:,}")
            try:
                return file.read(most)
            except OSError as error:
                raise self._cant("read", name, error) from error

    @contextmanager
    def written(self, name: str) -> Iterator[BinaryIO]:
        """A new file that gets its name once it is whole and on the disk, in place of an older one.

        Raises `StorageError` where it can't be written; nothing is left then.
        """
        try:
            with self._unfinished(name) as (folder, last, unfinished, file):
                yield file
                file.flush()
                os.fsync(file.fileno())
                self._refuse_what_is_no_file(name, folder, last)
                os.replace(unfinished, last, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
        except OSError as error:
            raise self._cant("write", name, error) from error

    def write_once(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one: whole and durable before it gets its name, so of several writers one wins.

        Returns whether it was this one.
        """
        try:
            with self._unfinished(name) as (folder, last, unfinished, file):
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                try:
                    os.link(unfinished, last, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                except FileExistsError:
                    return False
                os.fsync(folder)
                return True
        except OSError as error:
            raise self._cant("write", name, error) from error

    def entries(self, name: str = "") -> list[Entry]:
        """What stands in a folder, by name; nothing where there is none. Raises `StorageError` for a link."""
        try:
            with self._folder(self._parts(name)) as descriptor, os.scandir(descriptor) as found:
                states = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
        except FileNotFoundError:
            return []
        except OSError as error:
            if not self.top.is_dir():
                return []
            raise self._cant("read", name, error) from error
        return sorted((Entry(each, kind_of(state), state.st_size) for each, state in states), key=lambda it: it.name)

    def inodes(self, name: str) -> dict[str, int]:
        """The names in a folder with their inodes, without looking at what stands there; nothing without a folder."""
        try:
            with self._folder(self._parts(name)) as descriptor, os.scandir(descriptor) as found:
                return {entry.name: entry.inode() for entry in found}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._cant("read", name, error) from error

    def make(self, name: str) -> None:
        """Make a folder with those on the way to it, where they aren't there; raises `StorageError` for a link."""
        parts = self._parts(name)
        try:
            for length in range(len(parts)):
                with self._folder(parts[:length]) as descriptor, contextlib.suppress(FileExistsError):
                    os.mkdir(parts[length], dir_fd=descriptor)
            with self._folder(parts):
                return
        except OSError as error:
            raise self._cant("make", name, error) from error

    def rename(self, name: str, target: str) -> None:
        """Give a file or folder another name within the folder; raises `OSError`, and `StorageError` for a link."""
        if self.kind(name) == "link":
            raise self.is_link(name)
        with self._parent(name) as (folder, last), self._parent(target) as (target_folder, target_last):
            os.rename(last, target_last, src_dir_fd=folder, dst_dir_fd=target_folder)

    def synchronise(self, name: str = "") -> None:
        """Have the disk keep the names in a folder; raises `OSError`."""
        with self._folder(self._parts(name)) as descriptor:
            os.fsync(descriptor)

    def unlink(self, name: str) -> None:
        """Remove a regular file, if it is there; raises `StorageError` for anything else that stands at the name."""
        try:
            with self._parent(name) as (folder, last):
                self._refuse_what_is_no_file(name, folder, last)
                os.unlink(last, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._cant("remove", name, error) from error

    def rmdir(self, name: str) -> None:
        """Remove a folder if it is there and empty; raises `StorageError` for anything else that stands at the name."""
        try:
            with self._parent(name) as (folder, last):
                os.rmdir(last, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise self._cant("remove", name, error) from error

    def is_link(self, name: str) -> StorageError:
        """The error for the first link on the way to a name."""
        parts = self._parts(name)
        for length in range(1, len(parts) + 1):
            path = self.top.joinpath(*parts[:length])
            with contextlib.suppress(OSError):
                return StorageError(
                    f"{path} is a symbolic link to {os.readlink(path)}; structflow follows no links among its "
                    "own files in a run directory: remove the link, or replace it by what it points to"
                )
        return StorageError(f"{self.path / name} is not a folder; expected one of structflow's own: move it away")

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """A descriptor of a folder, given by its names from the top; raises `OSError`."""
        descriptor = os.open(self.top, FOLDER & ~os.O_NOFOLLOW)
        try:
            for part in parts:
                inner = os.open(part, FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder that holds a name, and the last part of the name; raises `OSError`."""
        *folders, last = self._parts(name)
        with self._folder(tuple(folders)) as descriptor:
            yield descriptor, last

    @contextmanager
    def _unfinished(self, name: str) -> Iterator[tuple[int, str, str, BinaryIO]]:
        """A file beside a name that is gone at the end, unless it was renamed; raises `OSError`."""
        with self._parent(name) as (folder, last):
            unfinished = f".{last}.{uuid.uuid4().hex}"
            descriptor = os.open(unfinished, WRITING, 0o666, dir_fd=folder)
            try:
                with open(descriptor, "w+b") as file:
                    yield folder, last, unfinished, file
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(unfinished, dir_fd=folder)

    def _parts(self, name: str) -> tuple[str, ...]:
        """The names on the way from the top; raises `StorageError` for one that leads elsewhere."""
        parts = [part for part in (*self.below.split("/"), *name.split("/")) if part]
        if name.startswith("/") or "\0" in name or {".", ".."} & set(parts):
            raise StorageError(f"{name!r} is not the path of a file in {self.path}; expected names joined by /")
        return tuple(parts)

    def _refuse_what_is_no_file(self, name: str, folder: int, last: str) -> None:
        """Raise `StorageError` where something stands at a name that isn't a regular file."""
        with contextlib.suppress(FileNotFoundError):
            found = kind_of(os.stat(last, dir_fd=folder, follow_symlinks=False))
            if found != "file":
                raise self._not_a_file(name, found)

    def _not_a_file(self, name: str, found: Kind) -> StorageError:
        if found == "link":
            return self.is_link(name)
        return StorageError(
            f"{self.path / name} is a {found}; expected a regular file of structflow's own: move it away"
        )

    def _cant(self, what: str, name: str, error: OSError) -> StorageError:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return self.is_link(name)
        return StorageError(f"can't {what} {self.path / name}: {error.strerror or error}")


def kind_of(state: os.stat_result) -> Kind:
    """What a file system says something is."""
    return KINDS.get(stat.S_IFMT(state.st_mode), "device")


def digest_of_file(file: BinaryIO) -> str:
    """SHA-256 of an open file, from its first byte."""
    file.seek(0)
    return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
