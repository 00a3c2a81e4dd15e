"""Tables to predict for: read as the training table was, whatever their format, and never another way."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import zarr

from structflow.data.dataset import Dataset
from structflow.errors import CallError
from structflow.plugins import DataSource, Table
from structflow.plugins.registry import registry
from structflow.results.new_table import read_new_table, source_of

NONE = np.zeros(0, dtype=np.int64)


def dataset(names: tuple[str, ...] = ("area", "age"), shape: tuple[int, ...] = (2,)) -> Dataset:
    zeros = np.zeros(shape), np.ones(shape), np.zeros(1), np.ones(1)
    return Dataset(np.zeros((0, *shape)), np.zeros((0, 1)), NONE, NONE, *zeros, (), names, ("price",), "continuous")


def options(source: str, **keys: Any) -> Any:
    return registry().of_kind("data_sources")[source].options.model_validate({"source": source, **keys})


def csv(**keys: Any) -> Any:
    return options("csv", path="train.csv", target="price", **keys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("age;area\n1;10\n2;20\n", {"separator": ";"}),
        ("age, area, price\n1, 10, 0\n2, 20, 0\n", {}),
        ("other,area,other,age\na,10,b,1\na,20,b,2\n", {}),
        ("area;age\n10,0;1\n20;2\n", {"separator": ";", "decimal": ","}),
    ],
    ids=["separator", "spaces", "duplicates among others", "decimal comma"],
)
def test_a_csv_is_read_with_the_options_of_the_run(text: str, keys: dict[str, str], folder: Path) -> None:
    """The target may be absent, and columns that are no input are ignored."""
    (folder / "new.csv").write_text(text)
    assert read_new_table(dataset(), csv(**keys), "new.csv").tolist() == [[10, 1], [20, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("area,age,price\n10,1,0,\n20,2,0,\n", "Expected 3 fields in line 2, saw 4"),
        ("area,age,age\n10,1,0\n", "2 columns are named 'age'"),
        ("area;age\n10,5;1\n", 'set `separator: ";"` and `decimal: ","`, as the file seems to be written'),
        ("area;age\n10;1\n", 'set `separator: ";"`, which seems to separate the columns'),
        ("area,Age\n10,1\n", "the table has 'area', 'Age'\n  → did you mean 'Age'? add it, or rename the column"),
        (
            "area\n10\n",
            "there is no column 'age', which the run was trained with; the table has 'area'\n  → add it, or",
        ),
        ("area,age\n", "new.csv has no rows"),
    ],
)
def test_a_csv_that_training_would_refuse_is_refused(text: str, message: str, folder: Path) -> None:
    """Trailing commas shifted all columns by one."""
    (folder / "new.csv").write_text(text)
    with pytest.raises(CallError) as raised:
        read_new_table(dataset(), csv(), "new.csv")
    assert message in str(raised.value)


def test_tables_of_other_formats(folder: Path) -> None:
    """By the ending of the name, or by the name of a source: the columns of a run of csv in parquet, npz and zarr."""
    frame = pandas.DataFrame({"age": [1.0, 2.0], "area": [10.0, 20.0]})
    frame.to_parquet(folder / "new.parquet")
    frame.to_parquet(folder / "new.data")
    np.savez(folder / "new.npz", age=frame["age"], area=frame["area"])
    group = zarr.open_group(folder / "new.zarr", mode="w")
    for name in frame:
        group.create_array(name, data=frame[name].to_numpy())
    frame.to_csv(folder / "new.csv.gz", index=False)
    for run in (csv(), options("sklearn", name="iris")):
        for table, source in [
            ("new.parquet", None), ("new.npz", None), ("new.zarr/", None), ("new.csv.gz", None), ("new.data", "parquet")
        ]:  # fmt: skip
            assert read_new_table(dataset(), run, table, source).tolist() == [[10, 1], [20, 2]]
    np.savez(folder / "x.npz", x=frame.to_numpy())
    with pytest.raises(CallError, match="there is no array 'area'"):
        read_new_table(dataset(), csv(), "x.npz")


def test_arrays_are_those_that_the_run_names(folder: Path) -> None:
    """Images of the array `image`; no target is needed."""
    images = np.arange(24.0).reshape(2, 3, 4)
    np.savez(folder / "new.npz", image=images)
    run = options("npz", path="train.npz", inputs="image", target="label")
    assert np.array_equal(read_new_table(dataset(("image",), (3, 4)), run, "new.npz"), images)


def test_options_can_be_replaced(folder: Path) -> None:
    (folder / "new.txt").write_text("area;age\n10;1\n")
    for text in ("separator=;", "data.separator=';'"):
        assert read_new_table(dataset(), csv(), "new.txt", overrides=[text]).tolist() == [[10, 1]]
    (folder / "new.csv").write_text("area,age\n10,1\n")
    assert read_new_table(dataset(), csv(separator=";"), "new.csv", overrides=["separator=,"]).tolist() == [[10, 1]]
    for text, message in [("separator=;;", "got 2 characters"), ("sep=;", "unknown key 'sep'"), ("x", "isn't key=val")]:
        with pytest.raises(CallError, match=message):
            read_new_table(dataset(), csv(), "new.csv", overrides=[text])


@pytest.mark.parametrize(
    ("text", "added", "expected"),
    [
        ("area\tage\n10\t1\n", ["separator=\\t"], [[10, 1]]),
        ("area;age\n10,5;1\n", ["separator=;", "decimal=,"], [[10.5, 1]]),
        ("area|age\n10|1\n", ['separator="|"'], [[10, 1]]),
    ],
)
def test_a_remedy_is_a_command(text: str, added: list[str], expected: list[list[float]], folder: Path) -> None:
    """Its last line, split as a shell does, is the command that was given with options, and these are right.

    A tabulator is written as people do; to YAML `|` alone would begin a text.
    """
    (folder / "new table.csv").write_text(text)
    command = ["structflow", "predict", "runs/my run", "new table.csv", "-o", "out.csv"]
    with pytest.raises(CallError) as raised:
        read_new_table(dataset(), csv(), "new table.csv", command=command)
    line = str(raised.value).splitlines()[-1]
    assert line.startswith("  try: ")
    words = shlex.split(line.removeprefix("  try: "))
    assert words == [*command, *(word for each in added for word in ("--set", each))]
    overrides = words[len(command) + 1 :: 2]
    assert read_new_table(dataset(), csv(), "new table.csv", overrides=overrides).tolist() == expected


def test_a_list_of_words_is_asked_for(folder: Path) -> None:
    (folder / "new.csv").write_text("area,age\n10,1\n")
    with pytest.raises(
        CallError, match=r"expected a list of the words that stand for missing values, such as \[drop\]"
    ):
        read_new_table(dataset(), csv(), "new.csv", overrides=["missing_values=drop"])


def test_which_source_reads_a_table() -> None:
    """The run's own, where it reads such files or no source reads such files; else the one that does."""
    run = options("parquet", path="train.csv", target="price")  # a parquet file with an odd name
    for table, source, expected in [
        ("new.csv", None, "parquet"), ("new.npz", None, "npz"), ("new", None, "parquet"), ("a.pq", "csv", "csv")
    ]:  # fmt: skip
        assert source_of(run, table, source).type == expected
    with pytest.raises(CallError, match="name one with --source: csv, npz, parquet"):
        source_of(options("sklearn", name="iris"), "new.foo", None)
    with pytest.raises(CallError, match="there is no source 'sklearn' that reads files"):
        source_of(run, "new.csv", "sklearn")


def test_a_source_without_its_own_reader_of_inputs(folder: Path) -> None:
    """By default the whole table is read, and its columns are found by name."""

    class Rows(DataSource):
        type = "rows"

        @staticmethod
        def read(options: Any, base: Path) -> Table:
            return Table(np.array([[1.0, 10.0]]), np.zeros((1, 1)), ("age", "area"), ("price",))

    found = Rows.read_inputs(SimpleNamespace(), folder, ("area", "age"))
    assert (found.inputs.tolist(), found.input_names) == ([[1, 10]], ("age", "area"))
