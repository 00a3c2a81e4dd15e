"""Records are written once, whole or not at all, and prove on reading that they are what was written."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from structflow.errors import StorageError
from structflow.store.array_file import load_arrays, save_arrays
from structflow.store.digest import digest_of_arrays, digest_of_json
from structflow.store.inspection import damage_of_record
from structflow.store.records import EvaluateRecord, SelectedStructure, SelectRecord, TrainedMember, TrainRecord
from structflow.store.run_directory import RunDirectory, without_nan

TASK = "setting0-select"

SELECTED = SelectedStructure(
    structure={"x->h": ["→"], "h": [20]}, scores=(1.5, None), best="key", best_restart=0, agreement=0.5
)


def selection(members: int = 2) -> SelectRecord:
    """A record of so many members."""
    return SelectRecord(structures=(SELECTED,), members=members, diverged=1)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.create()
    return made


def test_what_is_committed_is_read_back(directory):
    committed = directory.commit(TASK, selection(), 2.0)
    assert directory.record(TASK) == committed
    assert committed.seconds == 2.0
    found = directory.read(TASK, SelectRecord)
    assert found == selection()
    assert found.structures[0].scores == (1.5, None)
    with pytest.raises(StorageError, match="isn't a record of its task"):
        directory.read(TASK, TrainRecord)


def test_a_record_cant_be_changed():
    """Nor does it take a field that it doesn't know."""
    with pytest.raises(ValidationError):
        selection().members = 3
    with pytest.raises(ValidationError):
        SelectRecord(structures=(), members=1, diverged=0, another=1)


def test_the_first_record_stands(directory):
    first = directory.commit(TASK, selection(1))
    second = directory.commit(TASK, selection(2))
    assert second == first == directory.record(TASK)
    assert [path.name for path in (directory.path / "records").iterdir()] == [f"{TASK}.json"]


def commit_in_a_process(arguments: tuple[Path, int]) -> str:
    path, number = arguments
    return RunDirectory(path).commit(TASK, selection(number)).digest


def test_of_many_that_commit_at_once_one_wins(directory):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        digests = pool.map(commit_in_a_process, [(directory.path, number) for number in range(8)], chunksize=1)
    assert set(digests) == {directory.record(TASK).digest}


def test_nothing_is_committed_before_everything_is_written(directory, monkeypatch):
    """A failure leaves no record and no half-written file under its final name."""

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError, match="disk full"):
        directory.commit(TASK, selection())
    assert not directory.is_committed(TASK)
    assert list((directory.path / "records").iterdir()) == []
    monkeypatch.undo()
    directory.commit(TASK, selection())
    assert directory.read(TASK, SelectRecord) == selection()


def test_digests_say_what_is_equal(directory):
    """The same values are the same whoever found them and however long it took."""
    base = directory.commit("setting0-select", selection(1)).digest
    assert directory.commit("setting1-select", selection(1), seconds=9.0, worker="w").digest == base
    assert directory.commit("setting2-select", selection(2)).digest != base
    same = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert digest_of_arrays({"a": same}) == digest_of_arrays({"a": np.arange(6.0).reshape(2, 3)})
    others = [
        {"b": np.arange(6.0).reshape(2, 3)},
        {"a": np.arange(6.0).reshape(3, 2)},
        {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3)},
        {"a": np.nextafter(np.arange(6.0).reshape(2, 3), 9)},
        {},
    ]
    assert len({digest_of_arrays(each) for each in ({"a": same}, *others)}) == len(others) + 1
    assert digest_of_arrays({"a": np.arange(3.0).astype(">f8")}) == digest_of_arrays({"a": np.arange(3.0)})
    assert digest_of_json({"b": 1, "a": [1, 2]}) == digest_of_json({"a": [1, 2], "b": 1})


def test_any_flipped_bit_is_found(directory):
    """All over the record."""
    directory.commit(TASK, selection())
    path = directory.record_file(TASK)
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        (found,) = damage_of_record(directory, TASK)
        assert str(path) in found.message
    path.write_bytes(content)
    assert list(damage_of_record(directory, TASK)) == []


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


@pytest.mark.parametrize("change", [("1.5", "1.6"), ("→", "←"), ("}", ""), ('"digest"', '"digits"')])
def test_a_changed_record_is_found(directory, change):
    directory.commit(TASK, selection())
    path = directory.path / "records" / f"{TASK}.json"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(StorageError):
        directory.record(TASK)


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
    assert EvaluateRecord().model_dump_json() == '{"members":[],"failed":[]}'
    assert TrainedMember(key="k", score=math.nan, bound=np.float32("inf")) == TrainedMember(key="k")


def test_files_are_replaced_whole(directory, monkeypatch):
    directory.write_text("file.txt", "old")

    def fail(*arguments, **keywords):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StorageError, match="disk full"):
        directory.write_text("file.txt", "new")
    assert (directory.path / "file.txt").read_text() == "old"
    assert {path.name for path in directory.path.iterdir()} == {"file.txt", "records", "members", "evaluations"}
