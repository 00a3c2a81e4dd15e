"""Entries are found by key, whoever they were made with, and prove on reading that they are what was written."""

from __future__ import annotations

import itertools
import multiprocessing
import zipfile
from pathlib import Path

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from structflow.errors import StorageError
from structflow.store.digest import digest_of_arrays
from structflow.store.entries import EntryStore, MemberEntry
from structflow.store.inspection import damage_of_entries
from structflow.store.records import Failure
from structflow.store.run_directory import RunDirectory

ARRAYS = {
    "weights": np.arange(12.0).reshape(3, 4),
    "counts": np.array([1, 2, 3]),
    "single": np.float32(2.5) * np.ones((2, 2), dtype=np.float32),
    "gaps": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "none": np.zeros((0, 3)),
    "scalar": np.array(4.0),
}


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.create()
    return made


def entry(key: str, arrays: dict[str, np.ndarray] | None, **parts: str) -> MemberEntry:
    """An entry with these arrays, or of a member that failed."""
    failed = Failure(stage=0, step=1, error="broken") if arrays is None else None
    return MemberEntry(key=key, parts=parts, digest=None if arrays is None else digest_of_arrays(arrays), failed=failed)


def write(store: EntryStore[MemberEntry], **members: dict[str, np.ndarray] | None) -> None:
    """Store members together, by their keys."""
    store.write([entry(key, own, noise="n") for key, own in members.items()], [own or {} for own in members.values()])


def files(directory: RunDirectory) -> list[Path]:
    """The files of all members."""
    return sorted(each for each in (directory.path / "members").iterdir())


def array_file(directory: RunDirectory) -> Path:
    """The only file of arrays."""
    (path,) = (each for each in files(directory) if each.suffix == ".npz")
    return path


def test_what_is_stored_is_read_by_key(directory):
    """In any order, with the dtypes and the shapes that each one has for itself."""
    store = directory.members
    write(store, one=ARRAYS, two={"weights": np.ones((3, 4))})
    write(store, three={"weights": np.zeros((5,))})
    three, one, two = store.arrays(["three", "one", "two"])
    assert (list(three), list(two)) == (["weights"], ["weights"])
    assert set(one) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert one[name].dtype == value.dtype
        np.testing.assert_array_equal(one[name], value)  # NaN equals NaN here
    np.testing.assert_array_equal(two["weights"], np.ones((3, 4)))
    assert store.read(["two"])[0].parts == {"noise": "n"}
    assert set(store.find(["one", "four"])) == {"one"}
    with pytest.raises(StorageError, match="has no entry four"):
        store.read(["four"])


def test_a_second_process_finds_what_came_later(directory):
    """An index that was read isn't read again; a new one is seen when a key is missing."""
    store = directory.members
    write(store, one=ARRAYS)
    assert store.find(["two"]) == {}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(write_in_a_process, (directory.path, 2.0))
    assert store.arrays(["shared"])[0]["a"].tolist() == [2.0, 2.0, 2.0]


def write_in_a_process(path: Path, value: float) -> None:
    write(RunDirectory(path).members, shared={"a": np.full(3, value)})


def test_of_many_that_write_the_same_one_stands(directory):
    """The others leave nothing behind."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write_in_a_process, [(directory.path, float(number)) for number in range(8)], chunksize=1)
    assert len(files(directory)) == 2  # an index and its arrays
    assert directory.members.damage_of(directory.members.names()[0]) is None


def test_nothing_is_stored_before_everything_is_written(directory, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError("disk full")

    monkeypatch.setattr("os.link", fail)
    with pytest.raises(StorageError, match="disk full"):
        write(directory.members, one=ARRAYS)
    monkeypatch.undo()
    assert directory.members.find(["one"]) == {}
    write(directory.members, one=ARRAYS)
    assert set(directory.members.find(["one"])) == {"one"}


def test_one_that_failed_is_tried_again(directory):
    """The entry says that it failed until another attempt has values."""
    store = directory.members
    write(store, one=ARRAYS, two=None)
    assert store.read(["two"])[0].failed == Failure(stage=0, step=1, error="broken")
    write(store, two={"weights": np.ones(2)})
    assert store.read(["two"])[0].failed is None
    assert store.arrays(["two"])[0]["weights"].tolist() == [1.0, 1.0]


def test_any_flipped_bit_is_found(directory):
    """All over both files: `verify` names the file, and nothing is read that isn't what was written."""
    store = directory.members
    write(store, one={"a": np.arange(3.0), "b": np.zeros((0, 2))})
    digest = store.read(["one"])[0].digest
    for path in files(directory):
        content = path.read_bytes()
        for place in range(0, len(content), 7):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            (found,) = damage_of_entries(directory)
            assert str(path) in found.message
            try:
                read = store.arrays(["one"])
            except StorageError:
                continue
            assert digest_of_arrays(read[0]) == digest
        path.write_bytes(content)
    assert list(damage_of_entries(directory)) == []


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cut_file_is_found(directory, length):
    write(directory.members, one=ARRAYS)
    path = array_file(directory)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError, match=rf"{path} has \d+ bytes; expected \d+; repair it with"):
        directory.members.arrays(["one"])


def test_a_deleted_file_is_found(directory):
    write(directory.members, one=ARRAYS)
    path = array_file(directory)
    path.unlink()
    with pytest.raises(StorageError, match=f"{path} is missing"):
        directory.members.arrays(["one"])


def test_arrays_of_others_are_found(directory):
    """Whole and sound, but not what this index was written with."""
    write(directory.members, one={"a": np.zeros(3)})
    first = array_file(directory)
    write(directory.members, two={"a": np.ones(3)})
    (second,) = {path for path in files(directory) if path.suffix == ".npz"} - {first}
    second.rename(first)
    with pytest.raises(StorageError, match="its list of contents is not the one that was written"):
        directory.members.arrays(["one"])


def test_what_is_damaged_is_read_elsewhere(directory):
    """A member that stands in two files, one of which is damaged; what is written in its place is sound again."""
    store = directory.members
    write(store, one={"a": np.zeros(3)}, two={"a": np.ones(3)})
    array_file(directory).write_bytes(b"")
    with pytest.raises(StorageError):
        store.arrays(["one"])
    write(store, one={"a": np.zeros(3)})
    assert store.arrays(["one"])[0]["a"].tolist() == [0.0, 0.0, 0.0]
    write(store, one={"a": np.zeros(3)}, two={"a": np.ones(3)})
    assert store.arrays(["two"])[0]["a"].tolist() == [1.0, 1.0, 1.0]


def test_some_arrays_are_read_without_the_others(directory):
    """Damage to another array isn't even noticed: no byte of it is read."""
    write(directory.members, one={"a": np.full(1000, 2.0), "b": np.full(1000, 3.0)})
    path = array_file(directory)
    content = path.read_bytes()
    path.write_bytes(content.replace(np.array(3.0).tobytes(), np.array(4.0).tobytes(), 1))
    (arrays,) = directory.members.arrays(["one"], "a".__eq__)
    np.testing.assert_array_equal(arrays["a"], np.full(1000, 2.0))
    with pytest.raises(StorageError, match=r"0001\.npy"):
        directory.members.arrays(["one"], "b".__eq__)


def test_numpy_opens_the_file(directory):
    """A row for every member that has the array."""
    write(directory.members, one={"a": np.arange(3.0)}, two={"a": np.ones(3)})
    with np.load(array_file(directory)) as archive:
        np.testing.assert_array_equal(archive["0000"], [np.arange(3.0), np.ones(3)])


NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc/x", "a\0b", "x" * 300, "", ".", "..", "a/b", "A", "a", "zarr.json"]),
)
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
OWN = st.dictionaries(NAMES, arrays_of.arrays(np.float64, SHAPES), min_size=1, max_size=4)


@given(st.lists(OWN, min_size=2, max_size=3))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_attempts_write_apart_and_nowhere_else(tmp_path_factory, found):
    """Fault 16: members of any key and with arrays of any name, written several times: the first ones stand."""
    place = tmp_path_factory.mktemp("place")
    directory = RunDirectory(place / "run")
    directory.create()
    seen: set[Path] = set()
    for key, own in itertools.product(("../one", "two"), found):
        write(directory.members, **{key: own})
        there = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
        assert {path.parent for path in there - seen} <= {Path("run/members")}
        assert len(there - seen) in (0, 2)
        seen |= there
        assert there == seen  # what was written before is where it was
        (stored,) = directory.members.arrays([key])
        assert set(stored) == set(found[0])
        for name, array in found[0].items():
            np.testing.assert_array_equal(stored[name], array)
    for path in seen:
        if path.suffix == ".npz":
            assert zipfile.is_zipfile(place / path)
