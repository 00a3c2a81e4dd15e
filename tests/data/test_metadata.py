"""What a file says of its columns beside their values: packing, missing values, row labels, times, partitions."""

from __future__ import annotations

import re
import shutil
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
import yaml
import zarr

from structflow.data import load_dataset
from structflow.data.packing import packing_of
from structflow.errors import SpecError
from structflow.plugins import Table
from structflow.plugins.registry import registry


def read(source: str, base: Path, **keys: Any) -> Table:
    plugin = registry().get("data_sources", source)
    table: Table = plugin.read(plugin.Options(**keys), base)
    return table


def refused(source: str, base: Path, kind: Any = "continuous", **keys: Any) -> str:
    registered = registry().of_kind("data_sources")[source]
    options: Any = registered.options.model_validate({"source": source, **keys})
    with pytest.raises(SpecError) as raised:
        load_dataset(registered.plugin, options, base, kind)
    return str(raised.value)


# --- zarr ---------------------------------------------------------------------------------------------------------


def write_packed(folder: Path, zarr_format: Any, y: np.ndarray, **encoding: Any) -> None:
    """x and y, the latter packed by xarray, which is the reference for what the attributes mean."""
    x = np.arange(len(y), dtype=float)
    data = xarray.Dataset({"x": ("row", x), "y": ("row", y)})
    data.to_zarr(folder / "t.zarr", zarr_format=zarr_format, encoding={"y": encoding}, consolidated=False)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_packed_numbers_are_what_xarray_unpacks(zarr_format: int, dtype: str, tmp_path: Path) -> None:
    """0.13, 0.10 and 1.30 are stored as whole numbers of 0.01, 5 lower or higher; to half a step of 0.01."""
    y = np.array([0.13, 0.10, 1.30, 2.0])
    packing = {"dtype": dtype, "scale_factor": 0.01, "add_offset": -0.5, "_FillValue": 201}
    write_packed(tmp_path, zarr_format, y, **packing)
    table = read("zarr", tmp_path, path="t.zarr")
    np.testing.assert_allclose(table.targets[:, 0], y, atol=0.005)
    with xarray.open_zarr(tmp_path / "t.zarr", consolidated=False) as opened:
        np.testing.assert_allclose(table.targets[:, 0], opened["y"].to_numpy(), atol=1e-6)
    (piece,) = [registry().get("data_sources", "zarr").chunks(options_of(path="t.zarr"), tmp_path).read(0)]
    assert np.array_equal(piece.targets, table.targets)


def options_of(**keys: Any) -> Any:
    return registry().get("data_sources", "zarr").Options(**keys)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "encoding", [{"dtype": "int16", "_FillValue": -9999}, {"dtype": "float64", "_FillValue": 1e20}]
)
def test_fill_values_are_missing(zarr_format: int, encoding: dict[str, Any], tmp_path: Path) -> None:
    """Never the number −9999, or 10²⁰, also where the table is streamed."""
    write_packed(tmp_path, zarr_format, np.array([1.0, np.nan, 3.0]), **encoding)
    assert np.isnan(read("zarr", tmp_path, path="t.zarr").targets[:, 0]).tolist() == [False, True, False]
    for stream in (False, True):
        assert "target column 'y' is nan in row 2" in refused("zarr", tmp_path, path="t.zarr", stream=stream)


def test_zeros_of_plain_zarr_are_numbers(tmp_path: Path) -> None:
    """The fill value of format 2, by default 0, stands for missing values where xarray has written it, and not else."""
    group = zarr.open_group(tmp_path / "t.zarr", mode="w", zarr_format=2)
    group.create_array("x", data=np.arange(3))
    group.create_array("y", data=np.arange(3.0))
    assert read("zarr", tmp_path, path="t.zarr").inputs.tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("dtype", "attributes", "stored", "expected"),
    [
        ("int8", {"_Unsigned": "true", "scale_factor": 0.5}, [-1, 1], [127.5, 0.5]),
        ("int8", {"_Unsigned": "true", "_FillValue": -1}, [-1, 1], [np.nan, 1]),
        ("uint8", {"_Unsigned": "false"}, [255, 1], [-1, 1]),
        ("int16", {"missing_value": [-1, -2]}, [-1, -2, 3], [np.nan, np.nan, 3]),
        ("int16", {"scale_factor": [2.0]}, [1, 2], [2, 4]),
        ("float64", {"_FillValue": b64encode(struct.pack("<d", -1.0)).decode()}, [-1, 2], [np.nan, 2]),
        ("float32", {"_FillValue": "NaN"}, [np.nan, 2], [np.nan, 2]),
        ("int8", {"dtype": "bool"}, [0, 1], [False, True]),
    ],
)
def test_attributes_of_the_cf_conventions(dtype: str, attributes: dict[str, Any], stored: Any, expected: Any) -> None:
    values = np.array(stored, dtype=dtype)
    found = packing_of("y", values.dtype, attributes, None, "data.target").unpack(values)
    np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"units": "days since 2000-01-01"}, "holds times"),
        ({"units": "hours", "dtype": "timedelta64[ns]"}, "holds durations"),
        ({"scale_factor": "0.1"}, "scale_factor = '0.1'; expected a finite number"),
        ({"add_offset": None}, "add_offset = None; expected a finite number"),
    ],
)
def test_attributes_that_cannot_be_used(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        packing_of("y", np.dtype("int64"), attributes, None, "data.target")


def test_times_saved_by_xarray_are_no_numbers(tmp_path: Path) -> None:
    """Another table may count them from another day."""
    times = np.array(["2020-01-01", "2020-01-02", "2020-01-04"], dtype="M8[ns]")
    xarray.Dataset({"x": ("row", times), "y": ("row", np.arange(3.0))}).to_zarr(tmp_path / "t.zarr", consolidated=False)
    assert "array 'x' holds times ('days since" in refused("zarr", tmp_path, path="t.zarr")


# --- parquet and csv ----------------------------------------------------------------------------------------------

HOUSES = pandas.DataFrame({"rooms": [3, 1, 2], "cost": [0.5, 1.5, 2.5], "price": [1.0, 2.0, 4.0]})


def test_row_labels_without_a_name_are_no_input(tmp_path: Path) -> None:
    """pandas saves the labels of shuffled rows as the column `__index_level_0__`."""
    HOUSES.sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    assert read("parquet", tmp_path, path="t.parquet", target="price").input_names == ("rooms", "cost")
    shutil.copy(tmp_path / "t.parquet", tmp_path / "u.parquet")  # a folder of two such files
    (tmp_path / "folder").mkdir()
    for name in ("t.parquet", "u.parquet"):
        shutil.move(tmp_path / name, tmp_path / "folder" / name)
    table = read("parquet", tmp_path, path="folder", target="price")
    assert (table.input_names, len(table.inputs)) == (("rooms", "cost"), 6)


def test_row_labels_with_a_name_are_asked_for(tmp_path: Path) -> None:
    """Nobody but the user knows whether they are an input."""
    HOUSES.set_index("rooms").to_parquet(tmp_path / "t.parquet")
    message = refused("parquet", tmp_path, path="t.parquet", target="price")
    assert "'rooms' holds the row labels (the index)" in message
    table = read("parquet", tmp_path, path="t.parquet", target="price", inputs=["rooms", "cost"])
    assert table.inputs[:, 0].tolist() == [3, 1, 2]
    assert read("parquet", tmp_path, path="t.parquet", target="rooms").input_names == ("cost", "price")


def test_columns_in_names_of_folders_are_asked_for(tmp_path: Path) -> None:
    """A partitioned table has a column that no file has; without it other rows would look alike."""
    HOUSES.to_parquet(tmp_path / "t", partition_cols=["rooms"], index=False)
    message = refused("parquet", tmp_path, path="t", target="price")
    assert "column 'rooms' exists only in the names of folders" in message
    assert read("parquet", tmp_path, path="t", target="price", inputs="cost").input_names == ("cost",)


def test_saved_row_numbers_are_asked_for(tmp_path: Path) -> None:
    """A csv that pandas wrote, read and wrote again."""
    HOUSES.to_csv(tmp_path / "once.csv")
    pandas.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv", index=False)
    message = refused("csv", tmp_path, path="twice.csv", target="price")
    assert "column 'Unnamed: 0' seems to hold saved row numbers" in message
    table = read("csv", tmp_path, path="twice.csv", target="price", inputs=["rooms", "cost"])
    assert table.input_names == ("rooms", "cost")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pandas.to_datetime(["2020-01-01"] * 3), "'a' holds a Timestamp in row 1"),
        (pandas.Categorical(["u", "v", "u"]), "'a' holds text in row 1: 'u'"),
        ([None, None, None], "'a' is nan in row 1 and in 2 more"),
        (pandas.array([1, None, 3], dtype="UInt8"), "'a' is nan in row 2"),
        (pandas.array([True, None, False], dtype="boolean"), "'a' is nan in row 2"),
        (pandas.to_timedelta([1, 2, 3], unit="s"), "'a' holds a Timedelta in row 1"),
    ],
)
def test_columns_of_parquet_that_are_no_numbers(values: Any, message: str, tmp_path: Path) -> None:
    HOUSES.assign(a=values).to_parquet(tmp_path / "t.parquet")
    assert message in refused("parquet", tmp_path, path="t.parquet", target="price")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pandas.Categorical([7, 9, 7]), [7, 9, 7]),
        (np.array([1.5, 2, 3], dtype=np.float16), [1.5, 2, 3]),
        (np.array([2**63, 1, 2], dtype=np.uint64), [2.0**63, 1, 2]),
        (pandas.array([1, 2, 3], dtype="Int8"), [1, 2, 3]),
    ],
)
def test_columns_of_parquet_that_are_numbers(values: Any, expected: Any, tmp_path: Path) -> None:
    HOUSES.assign(a=values).to_parquet(tmp_path / "t.parquet")
    assert read("parquet", tmp_path, path="t.parquet", target="price", inputs="a").inputs[:, 0].tolist() == expected


COUNTRIES = "x,y\n1,NA\n2,DE\n3,NA\n4,DE\n"


def test_a_word_that_is_read_as_missing_is_shown(tmp_path: Path) -> None:
    """NA is Namibia. The remedy is followed: the label is there."""
    (tmp_path / "t.csv").write_text(COUNTRIES)
    message = refused("csv", tmp_path, "classes", path="t.csv", target="y")
    assert "in row 1: the file holds 'NA', which is read as missing" in message
    assert "to keep 'NA', set `missing_values`" in message
    plugin = registry().get("data_sources", "csv")
    for words in ([], ["?"]):
        options = plugin.Options(path="t.csv", target="y", missing_values=words)
        assert load_dataset(plugin, options, tmp_path, "classes").classes == ("DE", "NA")


def test_other_words_can_stand_for_missing_values(tmp_path: Path) -> None:
    """-999 in an input; an empty field is missing whatever the words, and so is a word of the usual ones by default."""
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,3\n-999,,4\n5,null,6\n")
    message = refused("csv", tmp_path, path="t.csv", target="y", missing_values=["-999", "null"])
    assert "'a' is nan in row 2: the file holds '-999', which is read as missing" in message
    assert "'b' is nan in row 2 and in 1 more; expected" in message


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("a;y\n1.234,5;1\n2;2\n", {"separator": ";", "decimal": ",", "thousands": "."}),
        ('a,y\n"1,234.5",1\n2,2\n', {"thousands": ","}),
        ('a,y\n"1.234,5",1\n2,2\n', {"thousands": ".", "decimal": ","}),
    ],
)
def test_numbers_with_commas(content: str, keys: dict[str, str], tmp_path: Path) -> None:
    """1,234.5 by hand; refused without the options, with a remedy that names them."""
    (tmp_path / "t.csv").write_text(content)
    separator = keys.get("separator", ",")
    assert "set `decimal` or `thousands`" in refused("csv", tmp_path, path="t.csv", target="y", separator=separator)
    assert read("csv", tmp_path, path="t.csv", target="y", **keys).inputs.tolist() == [[1234.5], [2]]


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("größe,y\n1,2\n3,4\n".encode("latin-1"))
    assert "isn't text in UTF-8" in refused("csv", tmp_path, path="t.csv", target="y")
    (tmp_path / "t.csv").write_text("größe,y\n1,2\n3,4\n", encoding="utf-8-sig")
    assert read("csv", tmp_path, path="t.csv", target="y").input_names == ("größe",)


def test_words_for_infinity_and_truth(tmp_path: Path) -> None:
    """inf is a number that can't be used, true and false are 1 and 0; a line break in quotes ends no row."""
    (tmp_path / "t.csv").write_text('a,b,y\ntrue,1,"u\nv"\nfalse,inf,w\n')
    table = read("csv", tmp_path, path="t.csv", target="y", inputs="a")
    assert table.inputs.tolist() == [[1], [0]]
    assert table.targets.tolist() == [["u\nv"], ["w"]]
    assert "'b' is inf in row 2" in refused("csv", tmp_path, "classes", path="t.csv", target="y", inputs="b")


def test_objects_in_npz_have_a_remedy(tmp_path: Path) -> None:
    """pandas' to_numpy() gives objects; the remedies are followed."""
    labels, numbers = np.array(["u", "v"], dtype=object), np.array([1, 2], dtype=object)
    np.savez(tmp_path / "t.npz", allow_pickle=True, x=np.ones(2), y=labels, z=numbers)
    assert "save labels as text, y.astype(str)" in refused("npz", tmp_path, "classes", path="t.npz")
    assert "save numbers, z.astype(float)" in refused("npz", tmp_path, path="t.npz", inputs="z", target="x")
    np.savez(tmp_path / "t.npz", x=numbers.astype(float), y=labels.astype(str))
    table = read("npz", tmp_path, path="t.npz")
    assert (table.inputs.tolist(), table.targets.tolist()) == ([[1], [2]], [["u"], ["v"]])


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_the_separator_that_is_suggested_is_yaml(mark: str, tmp_path: Path) -> None:
    """A tabulator is written in double quotes, in single ones it means the same; the remedy is followed."""
    (tmp_path / "t.csv").write_text(f"a{mark}y\n1{mark}2\n3{mark}4\n")
    wrong = "," if mark != "," else ";"
    message = refused("csv", tmp_path, path="t.csv", target="y", separator=wrong)
    (suggested,) = re.findall(r"set `(separator: .*?)`", message)
    for text in (suggested, suggested.replace('"', "'")):
        table = read("csv", tmp_path, path="t.csv", target="y", **yaml.safe_load(text))
        assert table.inputs.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.ones((2, 2, 2)), "as x.reshape(len(x), -1)"),
        (np.array(["1", "2"]), "as x.astype(float)"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]"), "times since a date"),
        (np.ones(2, dtype=complex), "real and imaginary parts"),
        (np.array(1.0), "a row for every case"),
    ],
)
def test_arrays_are_told_how_to_be_saved(array: np.ndarray, remedy: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=array, z=np.ones(2), y=np.ones(2))
    assert remedy in refused("npz", tmp_path, path="t.npz", inputs=["x", "z"])
    np.save(tmp_path / "t.npy", array)
    assert "save the arrays together, with numpy.savez" in refused("npz", tmp_path, path="t.npy")
