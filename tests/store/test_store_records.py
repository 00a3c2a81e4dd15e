"""Records are written once, whole or not at all, and prove on reading that they are what was written."""

from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from structflow.errors import StorageError
from structflow.store.digest import digest_of_arrays, digest_of_json
from structflow.store.run_directory import Found, RunDirectory, without_nan

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


def files_of_values(directory: RunDirectory) -> list[Path]:
    """Chunks of the arrays, the part of a group that holds values."""
    about = ("zarr.json", "manifest.json")
    return sorted(
        path for path in (directory.path / "attempts").rglob("*") if path.is_file() and path.name not in about
    )


def test_a_flipped_bit_is_found_in_any_chunk(directory):
    record = directory.commit("task", Found({}, ARRAYS))
    chunks = files_of_values(directory)
    assert len(chunks) >= 4
    for chunk in chunks:
        content = chunk.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            chunk.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(StorageError, match=rf"{chunk} no longer holds what was written"):
                directory.arrays(record)
        chunk.write_bytes(content)
    directory.arrays(record)


def test_a_deleted_chunk_is_found(directory):
    """Zarr reads it as zeros without a word."""
    record = directory.commit("task", Found({}, ARRAYS))
    chunk = files_of_values(directory)[0]
    chunk.unlink()
    with pytest.raises(StorageError, match=f"{chunk} is missing"):
        directory.arrays(record)


def test_a_deleted_array_and_a_deleted_group_are_found(directory):
    record = directory.commit("task", Found({}, ARRAYS))
    folder = directory.path / record.arrays
    (folder / "arrays" / "0000" / "zarr.json").unlink()
    with pytest.raises(StorageError):
        directory.arrays(record)
    (folder / "arrays" / "zarr.json").unlink()
    with pytest.raises(StorageError, match="not a group of arrays"):
        directory.arrays(record)


def test_arrays_of_another_attempt_are_found(directory):
    """Whole and sound, but not what this record was made with."""
    record = directory.commit("task", Found({}, {"a": np.zeros(3)}))
    other = directory.commit("other", Found({}, {"a": np.ones(3)}))
    folder = directory.path / record.arrays
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    (directory.path / other.arrays).rename(folder)
    with pytest.raises(StorageError, match=r"manifest\.json is not the one that was written"):
        directory.arrays(record)


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

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StorageError, match="disk full"):
        directory.write_text("file.txt", "new")
    assert (directory.path / "file.txt").read_text() == "old"
    assert {path.name for path in directory.path.iterdir()} == {"file.txt", "records", "attempts"}
