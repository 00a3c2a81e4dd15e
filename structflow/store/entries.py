"""Trained members and what was found of them, each an entry under a key that says all that decided its values.

Entries that are made together share a file of arrays and an index that names it. The index is sealed JSON that is
written once, after the arrays, so that all of its entries are there or none. Reading needs only the key.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field

from ..errors import StorageError
from .array_file import ArrayFile, is_as_written, load_arrays, save_arrays
from .digest import digest_of_json
from .names import ENTRY_ARRAYS, ENTRY_INDEX
from .own_folder import OwnFolder
from .records import Convergence, Evaluation, Failure, Stored
from .sealed_json import sealed, unsealed

Arrays = Mapping[str, np.ndarray]
"""The arrays of one entry by name."""


class Entry(Stored):
    """What an index says of an entry: the `parts` of its key, and the digest of its arrays, None where it has none."""

    key: str
    parts: dict[str, str] = Field(default_factory=dict)
    digest: str | None = None


class MemberEntry(Entry):
    """A member after a stage: the step at which it diverged (−1: never), and convergence; `failed`: its code raised."""

    diverged_at: int = -1
    convergence: Convergence | None = None
    failed: Failure | None = None


class EvaluationEntry(Entry):
    """What was found of a member."""

    found: Evaluation


AnyEntry = TypeVar("AnyEntry", bound=Entry)


class Index(Stored, Generic[AnyEntry]):
    """Entries and the file of their arrays, which `size`, `sha256` and `contents` prove.

    `revision` counts the plans of the run: 0 for the first, 1 once it was extended. Parts of the keys that all entries
    have in common are in `common` alone.
    """

    format: Literal["structflow entries 1"] = "structflow entries 1"
    revision: int
    arrays: str | None = None
    size: int = 0
    sha256: str = ""
    contents: str = ""
    common: dict[str, str]
    entries: tuple[AnyEntry, ...]

    @property
    def keys(self) -> set[str]:
        """The keys of its entries."""
        return {entry.key for entry in self.entries}

    def whole(self, number: int) -> AnyEntry:
        """An entry with all parts of its key."""
        entry = self.entries[number]
        return entry.model_copy(update={"parts": {**self.common, **entry.parts}})


@dataclass(frozen=True)
class Place:
    """Where an entry is: the name of its index, and its number there."""

    name: str
    number: int


@dataclass
class Known:
    """The indexes that this process has read, by name, with the inodes of their files, and the places of all keys."""

    inodes: dict[str, int] = field(default_factory=dict)
    indexes: dict[str, Index[Any]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@lru_cache(maxsize=8)
def known_entries(top: Path, folder: str) -> Known:
    """What this process knows of a folder."""
    return Known()


@dataclass(frozen=True)
class EntryStore(Generic[AnyEntry]):
    """The entries of one kind of a run, in a folder of its directory; `remedy` ends errors about damaged files."""

    files: OwnFolder
    folder: str
    index: type[Index[AnyEntry]]
    remedy: str

    def find(self, keys: Iterable[str]) -> dict[str, AnyEntry]:
        """Those of the keys that have an entry, with it."""
        self._refresh()
        return {key: self._entry(places[0]) for key in keys if (places := self._places(key))}

    def read(self, keys: Sequence[str]) -> list[AnyEntry]:
        """The entries of keys; raises `StorageError` where one is missing."""
        self._refresh_unless_known(keys)
        return [self._entry(self._existing(key)[0]) for key in keys]

    def arrays(
        self, keys: Sequence[str], wanted: Callable[[str], bool] = lambda name: True
    ) -> list[dict[str, np.ndarray]]:
        """The wanted arrays of every entry, once they are what was written; raises `StorageError`.

        Of a key with entries in several files one is read that isn't damaged.
        """
        self._refresh_unless_known(keys)
        files: dict[str, list[dict[str, np.ndarray]] | StorageError] = {}

        def own(key: str) -> dict[str, np.ndarray]:
            while True:
                places = self._existing(key)
                place = next((each for each in places if not isinstance(files.get(each.name), StorageError)), places[0])
                found = files[place.name] if place.name in files else self._rows(place.name, wanted)
                if isinstance(found, StorageError) and place.name in files:
                    raise found
                files[place.name] = found
                if not isinstance(found, StorageError):
                    return found[place.number]

        return [own(key) for key in keys]

    def write(self, entries: Sequence[AnyEntry], arrays: Sequence[Arrays], revision: int = 0) -> None:
        """Store entries that were made together: all or none. Where the same ones are there already, those stand."""
        name = digest_of_json([[entry.key, entry.digest is None] for entry in entries])[:32]
        stored, proof = None, {}
        if any(arrays):
            stored = f"{self.folder}/{name}.{uuid.uuid4().hex[:12]}.npz"
            rows, labels = stacked(arrays)
            proof = vars(save_arrays(self.files, stored, rows, labels.model_dump()))
        parts = [entry.parts for entry in entries]
        common = {part: text for part, text in parts[0].items() if all(each.get(part) == text for each in parts)}
        own = [{part: text for part, text in each.items() if part not in common} for each in parts]
        listed = tuple(entry.model_copy(update={"parts": each}) for entry, each in zip(entries, own, strict=True))
        index = self.index(revision=revision, arrays=stored, common=common, entries=listed, **proof)
        content = sealed(index.model_dump_json()).encode()
        if self.files.write_once(self._index_file(name), content):
            return
        if self.damage_of(name) is None:
            if stored is not None:
                self.files.unlink(stored)
            return
        with self.files.written(self._index_file(name)) as file:  # takes the place of one that can't be read
            file.write(content)
        self._forget(name)

    def names(self) -> list[str]:
        """The names of all indexes."""
        found = (ENTRY_INDEX.fullmatch(entry.name) for entry in self.files.entries(self.folder))
        return [match[1] for match in found if match is not None]

    def files_of_arrays(self) -> dict[str, int]:
        """What stands at the names of files of arrays, by path in the run directory, with sizes."""
        there = self.files.entries(self.folder)
        return {f"{self.folder}/{each.name}": each.size for each in there if ENTRY_ARRAYS.fullmatch(each.name)}

    def indexes(self) -> Iterator[tuple[str, Index[AnyEntry]]]:
        """Every index that can be read, by name."""
        self._refresh()
        yield from sorted(self._known.indexes.items())

    def damage_of(self, name: str) -> str | None:
        """What is wrong with an index or the file of its arrays, if anything."""
        try:
            index = self._load(name)
            if index.arrays is not None:
                proof = array_file_of(index, self.folder, name)
                if not self.files.has(index.arrays):
                    return f"{self.files.path / index.arrays} is missing"
                load_arrays(self.files, index.arrays, lambda array: False, proof)
                with self.files.open(index.arrays) as file:
                    if not is_as_written(file, proof):
                        return f"{self.files.path / index.arrays} no longer holds what was written"
        except StorageError as error:
            return str(error)
        return None

    def remove(self, name: str) -> None:
        """Remove an index and all files of arrays that have its name; the index goes first."""
        self.files.unlink(self._index_file(name))
        self._forget(name)
        for path in self.files_of_arrays():
            if path.startswith(f"{self.folder}/{name}."):
                self.files.unlink(path)

    @property
    def _known(self) -> Known:
        return known_entries(self.files.top, f"{self.files.below}/{self.folder}")

    def _index_file(self, name: str) -> str:
        return f"{self.folder}/{name}.json"

    def _load(self, name: str) -> Index[AnyEntry]:
        """An index from its file; raises `StorageError`."""
        path = self._index_file(name)
        try:
            return self.index.model_validate(unsealed(self.files.read(path)))
        except ValueError as error:  # also pydantic's ValidationError
            raise StorageError(f"{self.files.path / path} is damaged: {error}") from error

    def _refresh_unless_known(self, keys: Iterable[str]) -> None:
        """Look for new indexes where one of the keys isn't known, or is known to have failed."""
        first = [self._places(key)[:1] for key in keys]
        if any(not places or self._entry(places[0]).digest is None for places in first):
            self._refresh()

    def _refresh(self) -> None:
        """Read the indexes that are new, and forget those that are gone; one that is damaged is passed over."""
        known = self._known
        with known.lock:
            there = {
                match[1]: inode
                for file, inode in self.files.inodes(self.folder).items()
                if (match := ENTRY_INDEX.fullmatch(file)) is not None
            }
            for name in [name for name, inode in known.inodes.items() if there.get(name) != inode]:
                self._forget(name)
            for name, inode in there.items():
                if name in known.inodes:
                    continue
                known.inodes[name] = inode
                try:
                    known.indexes[name] = index = self._load(name)
                except StorageError:
                    continue
                for number, entry in enumerate(index.entries):
                    known.places.setdefault(entry.key, []).append(Place(name, number))

    def _forget(self, name: str) -> None:
        """Forget an index."""
        known = self._known
        known.inodes.pop(name, None)
        index = known.indexes.pop(name, None)
        for entry in () if index is None else index.entries:
            known.places[entry.key] = [place for place in known.places[entry.key] if place.name != name]

    def _places(self, key: str) -> list[Place]:
        """Where a key is found, those places last where it has no values: another attempt may have some."""
        found = self._known.places.get(key, [])
        indexes = self._known.indexes
        return sorted(found, key=lambda place: indexes[place.name].entries[place.number].digest is None)

    def _existing(self, key: str) -> list[Place]:
        """The same; raises `StorageError` where there is none."""
        places = self._places(key)
        if not places:
            raise StorageError(f"{self.files.path / self.folder} has no entry {key[:16]}…; {self.remedy}")
        return places

    def _entry(self, place: Place) -> AnyEntry:
        """The entry at a place."""
        index: Index[AnyEntry] = self._known.indexes[place.name]
        return index.whole(place.number)

    def _rows(self, name: str, wanted: Callable[[str], bool]) -> list[dict[str, np.ndarray]] | StorageError:
        """The wanted arrays of all entries of an index, or what is wrong with them."""
        try:
            index = self._load(name)  # it may have been written anew since it was looked up
            rows: list[dict[str, np.ndarray]] = [{} for _ in index.entries]
            if index.arrays is not None:
                proof = array_file_of(index, self.folder, name)
                if not self.files.has(index.arrays):
                    raise StorageError(f"{self.files.path / index.arrays} is missing")
                arrays, labels = load_arrays(self.files, index.arrays, wanted, proof)
                owners = EntryLabels.model_validate(labels).entries
                for array, values in arrays.items():
                    for row, owner in enumerate(owners[array]):
                        rows[owner][array] = values[row, ...]
            return rows
        except StorageError as error:
            self._refresh()  # another attempt may have written them elsewhere
            return StorageError(f"{error}; {self.remedy}")


class EntryLabels(Stored):
    """For every array of a file, which entries of its index have the rows."""

    entries: dict[str, list[int]]


def stacked(arrays: Sequence[Arrays]) -> tuple[dict[str, np.ndarray], EntryLabels]:
    """For every name the arrays of the entries that have it, (R, …), and as a label which entries these are."""
    owners: dict[str, list[int]] = {}
    for number, own in enumerate(arrays):
        for name in own:
            owners.setdefault(name, []).append(number)
    rows = {name: np.stack([arrays[number][name] for number in numbers]) for name, numbers in owners.items()}
    return rows, EntryLabels(entries=owners)


def array_file_of(index: Index[Any], folder: str, name: str) -> ArrayFile:
    """What proves the file of an index's arrays; raises `StorageError` where it names a file that isn't its own."""
    match = ENTRY_ARRAYS.fullmatch((index.arrays or "").removeprefix(f"{folder}/"))
    if match is None or match[1] != name or not str(index.arrays).startswith(f"{folder}/"):
        raise StorageError(f"{folder}/{name}.json names {index.arrays!r}; expected a file of {folder}/ of its own name")
    return ArrayFile(index.size, index.sha256, index.contents)
