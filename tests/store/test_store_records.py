"""Records are written once, whole or not at all, and prove on reading that they are what was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import multiprocessing
import zipfile
from pathlib import Path

import numpy as np
import pytest

from structflow.errors import StorageError
from structflow.store.array_file import load_arrays, save_arrays
from structflow.store.digest import digest_of_arrays, digest_of_json
from structflow.store.inspection import damage_of_record
from structflow.store.run_directory import Found, RunDirectory, without_nan

TASK = "setting0-round0-batch0-stage0-train"

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


def test_what_is_committed_is_read_back(directory):
    committed = directory.commit("task", Found({"scores": [1.5, None], "text": "→"}, ARRAYS), 2.0)
    record = directory.record("task")
    assert record == committed
    assert record.payload == {"scores": [1.5, None], "text": "→"}
    assert record.seconds == 2.0
    loaded = directory.arrays(record)
    assert set(loaded) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value)  # NaN equals NaN here


def test_the_first_record_stands(directory):
    first = directory.commit("task", Found({"value": 1}, {"a": np.zeros(2)}))
    second = directory.commit("task", Found({"value": 2}, {"a": np.ones(2)}))
    assert second == first == directory.record("task")
    np.testing.assert_array_equal(directory.arrays(second)["a"], np.zeros(2))
    assert [path.name for path in (directory.path / "records").iterdir()] == ["task.json"]


def commit_in_a_process(arguments: tuple[Path, int]) -> str:
    path, number = arguments
    return RunDirectory(path).commit("task", Found({"value": number}, {"a": np.full(3, number)})).digest


def test_of_many_that_commit_at_once_one_wins(directory):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        digests = pool.map(commit_in_a_process, [(directory.path, number) for number in range(8)], chunksize=1)
    assert set(digests) == {directory.record("task").digest}


def test_nothing_is_committed_before_everything_is_written(directory, monkeypatch):
    """A failure between arrays and record leaves no record and no half-written file under its final name."""

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError, match="disk full"):
        directory.commit("task", Found({"value": 1}, {"a": np.zeros(2)}))
    assert not directory.is_committed("task")
    assert list((directory.path / "records").iterdir()) == []
    monkeypatch.undo()
    assert directory.commit("task", Found({"value": 1})).payload == {"value": 1}


def test_digests_say_what_is_equal(directory):
    """The same values in another memory layout are the same; other names, dtypes, shapes or payloads aren't."""
    base = directory.commit("base", Found({"v": 1}, {"a": np.arange(6.0).reshape(2, 3)})).digest
    same = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
    assert directory.commit("same", Found({"v": 1}, same), seconds=9.0).digest == base
    others = [
        Found({"v": 2}, {"a": np.arange(6.0).reshape(2, 3)}),
        Found({"v": 1}, {"b": np.arange(6.0).reshape(2, 3)}),
        Found({"v": 1}, {"a": np.arange(6.0).reshape(3, 2)}),
        Found({"v": 1}, {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3)}),
        Found({"v": 1}, {"a": np.nextafter(np.arange(6.0).reshape(2, 3), 9)}),
        Found({"v": 1}),
    ]
    digests = [directory.commit(f"other{number}", found).digest for number, found in enumerate(others)]
    assert len({base, *digests}) == len(others) + 1
    big_endian = {"a": np.arange(3.0).astype(">f8")}
    assert digest_of_arrays(big_endian) == digest_of_arrays({"a": np.arange(3.0)})
    assert digest_of_json({"b": 1, "a": [1, 2]}) == digest_of_json({"a": [1, 2], "b": 1})


def test_any_flipped_bit_is_found(directory):
    """All over the file: reading refuses what would change a value, and `verify` everything."""
    task = "setting0-select"
    record = directory.commit(task, Found({}, {"a": np.arange(3.0), "b": np.zeros((0, 2))}))
    path = directory.path / record.arrays
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        (found,) = damage_of_record(directory, task)
        assert str(path) in found.message
        with contextlib.suppress(StorageError):
            assert digest_of_arrays(directory.arrays(record)) == record.arrays_digest
    path.write_bytes(content)
    assert list(damage_of_record(directory, task)) == []


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cut_file_is_found(directory, length):
    record = directory.commit(TASK, Found({}, ARRAYS))
    path = directory.path / record.arrays
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError, match=rf"{path} has \d+ bytes; expected {record.size}"):
        directory.arrays(record)


def test_a_deleted_file_is_found(directory):
    record = directory.commit(TASK, Found({}, ARRAYS))
    (directory.path / record.arrays).unlink()
    with pytest.raises(StorageError, match=f"{directory.path / record.arrays} is missing"):
        directory.arrays(record)


def test_arrays_of_another_attempt_are_found(directory):
    """Whole and sound, but not what this record was made with."""
    record = directory.commit(TASK, Found({}, {"a": np.zeros(3)}))
    other = directory.commit("other", Found({}, {"a": np.ones(3)}))
    (directory.path / other.arrays).rename(directory.path / record.arrays)
    with pytest.raises(StorageError, match="its list of contents is not the one that was written"):
        directory.arrays(record)


def test_some_arrays_are_read_without_the_others(directory):
    """Damage to another array isn't even noticed: no byte of it is read."""
    record = directory.commit(TASK, Found({}, {"a": np.full(1000, 2.0), "b": np.full(1000, 3.0)}))
    path = directory.path / record.arrays
    content = path.read_bytes()
    path.write_bytes(content.replace(np.array(3.0).tobytes(), np.array(4.0).tobytes(), 1))
    (array,) = directory.arrays(record, "a".__eq__).values()
    np.testing.assert_array_equal(array, np.full(1000, 2.0))
    with pytest.raises(StorageError, match=r"0001\.npy"):
        directory.arrays(record, "b".__eq__)


def test_numpy_opens_the_file(directory):
    record = directory.commit(TASK, Found({}, {"a": np.arange(3.0)}))
    with np.load(directory.path / record.arrays) as archive:
        np.testing.assert_array_equal(archive["0000"], np.arange(3.0))


def test_arrays_that_are_read_can_be_written_to_and_lie_in_the_order_of_c(directory):
    record = directory.commit(TASK, Found({}, {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3))}))
    array = directory.arrays(record)["a"]
    assert array.flags.writeable
    assert array.flags.c_contiguous


def test_an_archive_that_claims_to_be_larger_than_it_is(directory):
    """A few bytes that say they are a terabyte: refused, and nothing of that size is taken from memory."""
    proof = save_arrays(directory.files, "bomb.npz", {"a": np.zeros(3)})
    path = directory.path / "bomb.npz"
    with zipfile.ZipFile(path) as archive:
        contents = json.loads(archive.read("contents.json"))
    contents["arrays"]["a"][1] = 2**40
    text = json.dumps(contents)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0000.npy", bytes(10**6))
        archive.writestr(zipfile.ZipInfo("contents.json"), text)
        archive.comment = hashlib.sha256(text.encode()).hexdigest().encode()
    with pytest.raises(StorageError, match="its arrays are larger than the file"):
        load_arrays(directory.files, "bomb.npz")
    with pytest.raises(StorageError, match=f"expected {proof.size}"):
        load_arrays(directory.files, "bomb.npz", expected=proof)


@pytest.mark.parametrize("change", [("1.5", "1.6"), ("word", "ward"), ("}", ""), ('"digest"', '"digits"')])
def test_a_changed_record_is_found(directory, change):
    directory.commit("task", Found({"text": "word", "score": 1.5}))
    path = directory.path / "records" / "task.json"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(StorageError):
        directory.record("task")


def test_a_missing_record_is_an_error(directory):
    with pytest.raises(StorageError, match="can't read"):
        directory.record("task")


def test_json_has_null_for_what_is_no_number(directory):
    """NaN is null (DESIGN 7); NumPy's scalars are numbers."""
    value = {"a": math.nan, "b": [np.float64("inf"), 1], "c": np.int64(3), "d": np.bool_(True), 5: (np.float32(0.5),)}
    expected = {"a": None, "b": [None, 1], "c": 3, "d": True, "5": [0.5]}
    assert without_nan(value) == expected
    directory.write_json("file.json", value)
    assert json.loads((directory.path / "file.json").read_text()) == expected
    assert directory.commit("task", Found({"score": math.nan})).payload == {"score": None}


def test_files_are_replaced_whole(directory, monkeypatch):
    directory.write_text("file.txt", "old")

    def fail(*arguments, **keywords):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StorageError, match="disk full"):
        directory.write_text("file.txt", "new")
    assert (directory.path / "file.txt").read_text() == "old"
    assert {path.name for path in directory.path.iterdir()} == {"file.txt", "records", "attempts"}
