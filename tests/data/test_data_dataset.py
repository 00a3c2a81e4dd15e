"""Digest, storage and the transformation of new inputs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from structflow.data import Dataset, prepare
from structflow.data.dataset import ARRAYS, LABELS
from structflow.errors import CallError, StorageError
from structflow.plugins import DataOptions, SplitOptions, Table


def dataset(test: float = 0.25, shape: tuple[int, ...] = (3,)) -> Dataset:
    rng = np.random.default_rng(0)
    names = tuple("abc") if shape == (3,) else ("image",)
    labels = np.array([["no"], ["да"]] * 4, dtype=object)
    table = Table(rng.normal(2, 3, size=(8, *shape)), labels, names, ("t",))
    return prepare(table, DataOptions(split=SplitOptions(test=test, seed=1)), "classes")


def changed(data: Dataset, name: str) -> Any:
    value = getattr(data, name)
    if name == "target_kind":
        return "binary"
    if isinstance(value, tuple):
        return ("other", *value[1:])
    value = value.copy()
    value.flat[0] += 1
    return value


def test_equal_data_has_equal_digest() -> None:
    assert dataset().digest == dataset().digest
    assert len(dataset().digest) == 64


@pytest.mark.parametrize("name", [*ARRAYS, *LABELS])
def test_every_field_enters_the_digest(name: str) -> None:
    data = dataset()
    assert dataclasses.replace(data, **{name: changed(data, name)}).digest != data.digest


def test_digest_tells_shapes_and_dtypes_apart_but_not_memory_layouts() -> None:
    data = dataset(shape=(2, 3))
    assert dataclasses.replace(data, inputs=data.inputs.reshape(8, 3, 2)).digest != data.digest
    assert dataclasses.replace(data, inputs=data.inputs.astype(np.float32)).digest != data.digest
    assert dataclasses.replace(data, inputs=np.asfortranarray(data.inputs)).digest == data.digest
    assert dataclasses.replace(data, inputs=data.inputs.astype(">f8")).digest == data.digest


def test_fields_are_all_in_the_digest() -> None:
    assert {field.name for field in dataclasses.fields(Dataset)} == {*ARRAYS, *LABELS, "stream"}


@pytest.mark.parametrize("test", [0.25, 0.0])
@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_save_and_load_are_inverse(tmp_path: Path, test: float, shape: tuple[int, ...]) -> None:
    data = dataset(test, shape)
    data.save(tmp_path / "run" / "data")
    loaded = Dataset.load(tmp_path / "run" / "data")
    for name in ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(data, name))
        assert getattr(loaded, name).dtype == getattr(data, name).dtype
    for name in LABELS:
        assert getattr(loaded, name) == getattr(data, name)
    assert loaded.digest == data.digest
    names = sorted(entry.name for entry in (tmp_path / "run").iterdir())
    assert names == ["data", "data.manifest.json"]  # nothing temporary stays


def test_saving_the_same_again_is_fine_and_other_data_is_refused(tmp_path: Path) -> None:
    dataset().save(tmp_path / "data")
    dataset().save(tmp_path / "data")
    with pytest.raises(StorageError, match="already holds other data"):
        dataset(0.5).save(tmp_path / "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError):
        dataset().save(tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").exists()


def test_loading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        Dataset.load(tmp_path / "nowhere")


def test_lost_or_garbled_data_is_noticed(tmp_path: Path) -> None:
    dataset().save(tmp_path / "lost")
    (tmp_path / "lost").unlink()
    with pytest.raises(StorageError, match=r"lost is missing"):
        Dataset.load(tmp_path / "lost")
    (tmp_path / "lost.manifest.json").unlink()
    with pytest.raises(StorageError, match=r"lost\.manifest\.json is missing"):
        Dataset.load(tmp_path / "lost")
    dataset().save(tmp_path / "garbled")
    content = (tmp_path / "garbled").read_bytes()
    for damaged in (b"garbage", content[:-1], content[:300] + bytes([content[300] ^ 1]) + content[301:]):
        (tmp_path / "garbled").write_bytes(damaged)
        with pytest.raises(StorageError, match=r"garbled (has \d+ bytes|no longer holds)"):
            Dataset.load(tmp_path / "garbled")


def test_data_of_another_run_are_noticed(tmp_path: Path) -> None:
    """Whole and sound, but not what the manifest beside them was written for."""
    dataset().save(tmp_path / "one" / "data")
    dataset(0.5).save(tmp_path / "two" / "data")
    (tmp_path / "two" / "data").replace(tmp_path / "one" / "data")
    with pytest.raises(StorageError, match="data"):
        Dataset.load(tmp_path / "one" / "data")


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't write"):
        dataset().save(tmp_path / "file" / "data")


def test_new_inputs_are_standardised_as_the_training_inputs() -> None:
    # The prepared inputs are the transformation of the raw ones that they came from.
    data = dataset(shape=(2, 2))
    raw = data.inputs * data.input_scale + data.input_shift
    np.testing.assert_allclose(data.transform_inputs(raw), data.inputs, rtol=1e-12, atol=1e-12)
    assert data.transform_inputs(raw[:0]).shape == (0, 2, 2)


@pytest.mark.parametrize("raw", [np.ones((4, 2)), np.ones(3), 1.0, [["a", "b", "c"]]])
def test_new_inputs_of_the_wrong_shape_or_kind_are_refused(raw: Any) -> None:
    with pytest.raises(CallError, match="new inputs"):
        dataset().transform_inputs(raw)


def test_import_is_light() -> None:
    heavy = ("torch", "pandas", "zarr", "sklearn", "xarray", "dask", "pyarrow")
    code = f"import structflow.data, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
