"""Every built-in source: known values come back, and what can't be read is said plainly."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import zarr
from pydantic import ValidationError

from structflow.data import load_dataset
from structflow.data.split import split_rows
from structflow.errors import Problem, SpecError
from structflow.plugins import DataSource, SplitOptions, Table, TargetKind
from structflow.plugins.registry import registry

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01"
CSV = "age,height,label\n1,1.5,yes\n2,2.5,no\n4,3.5,yes\n"


def source(name: str) -> Any:
    return registry().get("data_sources", name)


def read(source_name: str, base: Path, **keys: Any) -> Table:
    plugin = source(source_name)
    table: Table = plugin.read(plugin.Options(**keys), base)
    return table


def problems(source_name: str, base: Path, target_kind: TargetKind = "continuous", **keys: Any) -> tuple[Problem, ...]:
    plugin = source(source_name)
    with pytest.raises(SpecError) as raised:
        load_dataset(plugin, plugin.Options(**keys), base, target_kind)
    return raised.value.problems


def test_all_sources_are_registered() -> None:
    assert set(registry().of_kind("data_sources")) >= {"csv", "npz", "parquet", "sklearn", "synthetic", "zarr"}


def test_importing_the_sources_is_light() -> None:
    heavy = ("torch", "pandas", "zarr", "sklearn", "pyarrow", "numpy")
    modules = "import structflow.builtin.data_sources." + ", structflow.builtin.data_sources.".join(
        ["csv", "npz", "parquet", "sklearn", "synthetic", "zarr"]
    )
    code = f"{modules}, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- csv and parquet: tables with named columns ------------------------------------------------------------------


def write_table(folder: Path, name: str, frame: pandas.DataFrame) -> str:
    if name == "csv":
        frame.to_csv(folder / "table.csv", index=False)
    else:
        frame.to_parquet(folder / "table.parquet", index=False)
    return f"table.{name}"


@pytest.fixture
def frame() -> pandas.DataFrame:
    return pandas.DataFrame(
        {"age": [1, 2, 4], "height": [1.5, 2.5, 3.5], "flag": [True, False, True], "label": ["yes", "no", "yes"]}
    )


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_columns_come_back(name: str, tmp_path: Path, frame: pandas.DataFrame) -> None:
    table = read(name, tmp_path, path=write_table(tmp_path, name, frame), target="label")
    assert table.inputs.dtype == np.float64
    assert table.inputs.tolist() == [[1, 1.5, 1], [2, 2.5, 0], [4, 3.5, 1]]
    assert table.targets.tolist() == [["yes"], ["no"], ["yes"]]
    assert (table.input_names, table.target_names) == (("age", "height", "flag"), ("label",))


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_chosen_columns_in_the_order_asked_for(name: str, tmp_path: Path, frame: pandas.DataFrame) -> None:
    path = write_table(tmp_path, name, frame)
    table = read(name, tmp_path, path=path, target=["height", "age"], inputs=["flag"])
    assert table.inputs.tolist() == [[1], [0], [1]]
    assert table.targets.tolist() == [[1.5, 1], [2.5, 2], [3.5, 4]]


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_text_among_inputs_is_named(name: str, tmp_path: Path, frame: pandas.DataFrame) -> None:
    path = write_table(tmp_path, name, frame)
    (problem,) = problems(name, tmp_path, path=path, target="age")
    assert problem.path == "data.inputs"
    assert problem.message == "input column 'label' holds text in row 1: 'yes'; expected numbers"
    assert "`inputs`" in str(problem.suggestion)


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_unknown_columns(name: str, tmp_path: Path, frame: pandas.DataFrame) -> None:
    path = write_table(tmp_path, name, frame)
    target, inputs = problems(name, tmp_path, path=path, target="lable", inputs=["Age", "height"])
    assert (target.path, target.suggestion) == ("data.target", "did you mean 'label'?")
    assert (inputs.path, inputs.suggestion) == ("data.inputs", "did you mean 'age'?")
    assert "'age', 'height', 'flag', 'label'" in target.message


def test_columns_that_are_both_or_twice(tmp_path: Path, frame: pandas.DataFrame) -> None:
    path = write_table(tmp_path, "csv", frame)
    (both,) = problems("csv", tmp_path, path=path, target="age", inputs=["age", "height"])
    assert "both an input and a target" in both.message
    (twice,) = problems("csv", tmp_path, path=path, target=["age", "age"])
    assert "listed 2 times" in twice.message
    (none_left,) = problems("csv", tmp_path, path=path, target=["age", "height", "flag", "label"])
    assert "all 4 columns are targets" in none_left.message


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_missing_values(name: str, tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {"a": [1.0, None, 3.0], "n": pandas.array([1, 2, None], dtype="Int64"), "t": ["x", None, "y"]}
    )
    path = write_table(tmp_path, name, frame)
    found = problems(name, tmp_path, "classes", path=path, target="t")
    assert "'a' is nan in row 2" in found[0].message
    assert "'n' is nan in row 3" in found[1].message
    assert "'t' has no finite label in row 2: None" in found[2].message


def test_csv_dialects(tmp_path: Path) -> None:
    (tmp_path / "semicolon.csv").write_text(CSV.replace(",", ";"))
    (tmp_path / "tabs.csv").write_text(CSV.replace(",", "\t"))
    (tmp_path / "spaces.csv").write_text(CSV.replace(",", ", "))
    (tmp_path / "excel.csv").write_text(CSV.replace("\n", "\r\n"), encoding="utf-8-sig")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    for path, separator in [
        ("semicolon.csv", ";"),
        ("tabs.csv", "\t"),
        ("spaces.csv", ","),
        ("excel.csv", ","),
        ("packed.csv.gz", ","),
    ]:
        table = read("csv", tmp_path, path=path, target="label", separator=separator)
        assert table.input_names == ("age", "height")
        assert table.inputs.tolist() == [[1, 1.5], [2, 2.5], [4, 3.5]]
        assert table.targets.tolist() == [["yes"], ["no"], ["yes"]]


def test_whole_number_labels_keep_their_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,t\n1,10\n2,9\n3,10\n")
    plugin = source("csv")
    data = load_dataset(plugin, plugin.Options(path="t.csv", target="t"), tmp_path, "classes")
    assert data.classes == ("9", "10")


def test_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "boston.csv").write_text(CSV)
    for name in ("csv", "parquet", "npz", "zarr"):
        (problem,) = problems(name, tmp_path, path="bostn.csv", target="label")
        assert problem.path == "data.path"
        assert problem.suggestion == "did you mean 'boston.csv'?"
        (problem,) = problems(name, tmp_path, path="nowhere/boston.csv", target="label")
        assert "which doesn't exist" in problem.message


def test_folder_instead_of_file_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text(CSV)
    for name in ("csv", "npz"):
        (problem,) = problems(name, tmp_path, path="folder", target="label")
        assert (problem.path, problem.message) == ("data.path", "'folder' is a folder; expected a file")
    (problem,) = problems("zarr", tmp_path, path="file")
    assert (problem.path, problem.message) == ("data.path", "'file' is a file; expected a folder")


class Explosive:
    """Raises if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('pickle was executed')",))


@pytest.mark.parametrize("name", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    "content",
    [b"", PNG, pickle.dumps(Explosive()), bytes(range(256)) * 20, b"PK\x03\x04 no archive", b"PAR1 no table PAR1"],
    ids=["empty", "png", "pickle", "bytes", "zip", "parquet"],
)
def test_files_of_another_format(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    found = problems(name, tmp_path, path="file", target="label")
    if content.startswith(b"PAR1") and name == "csv":  # a line of text: a table without the target
        assert found[0].path == "data.target"
    else:
        assert [problem.path for problem in found] == ["data.path"]
        assert "can't be read as" in found[0].message


@pytest.mark.parametrize(
    ("content", "path", "message"),
    [
        ("a,b,a\n1,2,3\n", "data.path", "2 columns are named 'a'; expected different names"),
        (",a,t\n0,1,2\n1,2,3\n", "data.inputs", "column 1 has no name"),
        ("a,t\n1,2,3\n4,5,6\n", "data.path", "Expected 2 fields in line 2, saw 3"),
        ("a,t\n1,2\n1,2,3\n", "data.path", "can't be read as a text table"),
        ("1,2,3\n4,5,6\n", "data.target", "there is no column 't'"),
        ("a,t\n", "data.path", "there are 0 rows"),
    ],
)
def test_malformed_csv(content: str, path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    found = problems("csv", tmp_path, path="t.csv", target="t")
    assert (found[0].path, message in found[0].message) == (path, True), found


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("a;b;t\n1,5;2,25;3\n", 'set `separator: ";"` and `decimal: ","`, as the file seems to be written'),
        ("a\tt\n-1.234,5\t3\n", 'set `separator: "\\t"`, `decimal: ","` and `thousands: "."`, as'),
        ("a;t\nx,y;3\n", 'set `separator: ";"`, as the file seems to be written'),
        ("a;t\n1,5;3;4\n", 'set `separator: ";"`, as the file seems to be written'),
        ("a,t\n1,2,3\n", "give every line as many fields as the first one has"),
        ("note\n1,5\n", "give every line as many fields as the first one has"),
    ],
)
def test_how_a_file_seems_to_be_written(content: str, remedy: str, tmp_path: Path) -> None:
    """Commas that are no separators make more fields than the header has."""
    (tmp_path / "t.csv").write_text(content)
    (problem,) = problems("csv", tmp_path, path="t.csv", target="t")
    assert str(problem.suggestion).startswith(remedy)


def test_what_the_hint_says_reads_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;t\n1.234,5;3\n-2,25;4\n")
    table = read("csv", tmp_path, path="t.csv", target="t", separator=";", decimal=",", thousands=".")
    assert table.inputs.tolist() == [[1234.5], [-2.25]]


def test_csv_without_header_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2,3\n4,5,6\n")
    (problem,) = problems("csv", tmp_path, path="t.csv", target="t")
    assert "first line must hold the names" in str(problem.suggestion)


def test_unnamed_column_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",a,t\n0,1,2\n1,2,3\n")
    assert read("csv", tmp_path, path="t.csv", target="t", inputs="a").inputs.tolist() == [[1], [2]]


def test_truncated_gzip(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV.encode() * 50)[:40])
    (problem,) = problems("csv", tmp_path, path="t.csv.gz", target="label")
    assert problem.path == "data.path"


def test_parquet_of_dates_and_lists(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {"day": pandas.to_datetime(["2020-01-01", "2020-01-02"]), "l": [[1], [2]], "t": [1.0, 2.0]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    found = problems("parquet", tmp_path, path="t.parquet", target="t")
    assert [problem.path for problem in found] == ["data.inputs", "data.inputs"]
    assert "'day'" in found[0].message
    assert "'l'" in found[1].message


# --- npz and zarr: named arrays ----------------------------------------------------------------------------------


def write_arrays(folder: Path, name: str, zarr_format: Any = 3, **arrays: np.ndarray) -> str:
    if name == "npz":
        np.savez(folder / "arrays.npz", allow_pickle=True, **arrays)
        return "arrays.npz"
    group = zarr.open_group(folder / "arrays.zarr", mode="w", zarr_format=zarr_format)
    for key, values in arrays.items():
        group.create_array(key, data=values)
    return "arrays.zarr"


@pytest.mark.parametrize("name", ["npz", "zarr"])
def test_arrays_come_back_with_their_shape(name: str, tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    path = write_arrays(tmp_path, name, x=images, y=np.array([1.0, 2.0, 3.0, 5.0]))
    table = read(name, tmp_path, path=path)
    assert table.inputs.dtype == np.float64
    assert np.array_equal(table.inputs, images)
    assert table.targets.tolist() == [[1.0], [2.0], [3.0], [5.0]]
    assert (table.input_names, table.target_names) == (("x",), ("y",))


@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
@pytest.mark.parametrize("name", ["npz", "zarr"])
def test_several_arrays_side_by_side(name: str, tmp_path: Path) -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5, 6])
    path = write_arrays(tmp_path, name, a=a, b=b, labels=np.array(["u", "v"]))
    table = read(name, tmp_path, path=path, inputs=["b", "a"], target="labels")
    assert table.inputs.tolist() == [[5, 1, 2], [6, 3, 4]]
    assert table.input_names == ("b", "a0", "a1")
    assert table.targets.tolist() == [["u"], ["v"]]


def test_zarr_of_format_2(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, "zarr", 2, x=np.arange(6.0).reshape(3, 2), y=np.arange(3))
    assert read("zarr", tmp_path, path=path).inputs.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_bytes_are_labels_in_utf8(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, "npz", x=np.arange(2.0), y=np.array(["да".encode(), b"no"]))
    assert read("npz", tmp_path, path=path).targets.tolist() == [["да"], ["no"]]


@pytest.mark.parametrize("name", ["npz", "zarr"])
def test_arrays_that_do_not_fit(name: str, tmp_path: Path) -> None:
    arrays = {
        "x": np.ones((3, 2)),
        "y": np.ones(3),
        "short": np.ones(2),
        "deep": np.ones((3, 2, 2)),
        "complex": np.ones(3, dtype=complex),
        "scalar": np.array(1.0),
    }
    path = write_arrays(tmp_path, name, **arrays)

    def first(**keys: Any) -> tuple[str, str]:
        found = problems(name, tmp_path, path=path, **keys)[0]
        return found.path, found.message

    assert first(target="short") == ("data.inputs", "'x' has 3, 'short' has 2 rows; expected equal numbers")
    assert first(target="deep")[0] == "data.target"
    assert "shape (3, 2, 2); expected (rows,) or (rows, columns)" in first(target="deep")[1]
    assert "'deep' has shape" in first(inputs=["x", "deep"])[1]
    assert "'complex' holds complex128; expected numbers" in first(inputs="complex")[1]
    assert "'scalar' has shape ()" in first(inputs="scalar")[1]
    (missing,) = problems(name, tmp_path, path=path, inputs="X")
    assert (missing.path, missing.suggestion) == ("data.inputs", "did you mean 'x'?")


def test_pickled_objects_in_npz_are_never_read(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, "npz", x=np.array([Explosive(), Explosive()], dtype=object), y=np.ones(2))
    (problem,) = problems("npz", tmp_path, path=path)
    assert problem.path == "data.inputs"
    assert "Python objects, which are never read" in problem.message


def test_pickle_in_zarr_is_never_read(tmp_path: Path) -> None:
    import json

    path = write_arrays(tmp_path, "zarr", 2, x=np.ones(2), y=np.ones(2))
    for position in ({"filters": [{"id": "pickle", "protocol": 5}]}, {"compressor": {"id": "pickle", "protocol": 5}}):
        metadata_file = tmp_path / path / "x" / ".zarray"
        metadata_file.write_text(json.dumps({**json.loads(metadata_file.read_text()), **position}))
        (tmp_path / path / "x" / "0").write_bytes(pickle.dumps(Explosive()))
        (problem,) = problems("zarr", tmp_path, path=path)
        assert problem.path == "data.path"


def test_single_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    (problem,) = problems("npz", tmp_path, path="x.npy")
    assert "isn't a zip archive" in problem.message


@pytest.mark.parametrize("kind", ["empty folder", "array"])
def test_folder_that_is_no_zarr_group(kind: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    if kind == "array":
        zarr.create_array(tmp_path / "folder", data=np.ones(3), overwrite=True)
    (problem,) = problems("zarr", tmp_path, path="folder")
    assert problem.path == "data.path"


# --- sklearn and synthetic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "columns", "labels"),
    [  # sizes and class names as scikit-learn documents them
        ("diabetes", 442, 10, None),
        ("iris", 150, 4, ("setosa", "versicolor", "virginica")),
        ("wine", 178, 13, ("class_0", "class_1", "class_2")),
        ("breast_cancer", 569, 30, ("benign", "malignant")),
        ("digits", 1797, 64, tuple("0123456789")),
    ],
)
def test_sklearn(name: str, rows: int, columns: int, labels: tuple[str, ...] | None, tmp_path: Path) -> None:
    from sklearn import datasets

    plugin = source("sklearn")
    chosen = plugin.Options(name=name, standardize={"inputs": name != "digits", "targets": False})
    data = load_dataset(plugin, chosen, tmp_path, "continuous" if labels is None else "classes")
    bunch = getattr(datasets, f"load_{name}")()
    np.testing.assert_allclose(data.inputs * data.input_scale + data.input_shift, bunch.data, atol=1e-12)
    assert data.inputs.shape == (rows, columns)
    assert data.classes == (labels or ())
    if labels is None:
        assert np.array_equal(data.targets[:, 0], bunch.target)
    else:
        names = [data.classes[int(code)] for code in data.targets[:, 0]]
        assert names == [str(bunch.target_names[code]) for code in bunch.target]


def test_digits_have_constant_pixels(tmp_path: Path) -> None:
    (problem,) = problems("sklearn", tmp_path, "classes", name="digits")
    assert problem.path == "data.name"
    assert "data.standardize.inputs to together, or to false" in str(problem.suggestion)


def synthetic(tmp_path: Path, **keys: Any) -> Table:
    return read("synthetic", tmp_path, **{"rows": 2000, "inputs": 2, "formula": "x0 * x1", **keys})


def test_synthetic_follows_its_formula(tmp_path: Path) -> None:
    table = synthetic(tmp_path)
    assert np.array_equal(table.targets[:, 0], table.inputs[:, 0] * table.inputs[:, 1])
    assert (table.input_names, table.target_names) == (("x0", "x1"), ("y",))
    # Means of 4,000 standard normals: 0 ± 0.016; their variance: 1 ± 0.022. Bounds at five standard errors.
    assert abs(table.inputs.mean()) < 0.08
    assert abs(table.inputs.var() - 1) < 0.11


def test_synthetic_uniform(tmp_path: Path) -> None:
    # Variance of the uniform on [−1, 1] is 1/3; its standard error from 4,000 draws is 0.0047.
    inputs = synthetic(tmp_path, distribution="uniform").inputs
    assert inputs.min() >= -1
    assert inputs.max() <= 1
    assert abs(inputs.var() - 1 / 3) < 0.024


def test_synthetic_noise_is_added_to_the_same_inputs(tmp_path: Path) -> None:
    # Residual deviation 0.5 ± 0.5/√4000 = 0.008; bound at five standard errors. Noise must not repeat the inputs.
    clean, noisy = synthetic(tmp_path), synthetic(tmp_path, noise=0.5)
    assert np.array_equal(clean.inputs, noisy.inputs)
    residual = (noisy.targets - clean.targets)[:, 0]
    assert abs(residual.std() - 0.5) < 0.04
    assert np.all(np.abs(np.corrcoef(residual, noisy.inputs.T)[0, 1:]) < 5 / np.sqrt(2000))


def test_synthetic_is_a_function_of_the_seed(tmp_path: Path) -> None:
    assert np.array_equal(synthetic(tmp_path, seed=3).inputs, synthetic(tmp_path, seed=3).inputs)
    assert not np.array_equal(synthetic(tmp_path, seed=3).inputs, synthetic(tmp_path, seed=4).inputs)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_split_with_the_same_seed_is_independent_of_the_values(distribution: str, tmp_path: Path) -> None:
    # Difference of means of 1,000 held-out and 1,000 other rows: standard error √(2/1000) = 0.045.
    table = synthetic(tmp_path, seed=0, distribution=distribution, inputs=1, formula="x0")
    train, test = split_rows(2000, SplitOptions(test=0.5, seed=0))
    assert abs(table.inputs[train].mean() - table.inputs[test].mean()) < 0.22


def test_synthetic_formula_errors(tmp_path: Path) -> None:
    (problem,) = problems("synthetic", tmp_path, rows=10, inputs=2, formula="tanh(x2)")
    assert problem.path == "data.formula"
    (problem,) = problems("synthetic", tmp_path, rows=10, inputs=2, formula="log(-1 - x0 ** 2)")
    assert problem.path == "data.formula"
    assert "'y' is nan in row 1" in problem.message


@pytest.mark.parametrize(
    "keys", [{"rows": 0}, {"inputs": 0}, {"noise": -1.0}, {"noise": float("nan")}, {"seed": -1}, {"distribution": "x"}]
)
def test_synthetic_options_out_of_range(keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        synthetic(tmp_path, **keys)


# --- the way from a source to a dataset --------------------------------------------------------------------------


class Failing(DataSource):
    """A source of someone else that lets the errors of its parser through."""

    type = "failing"

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        raise OSError("the disk is on fire")


def test_errors_of_a_source_become_spec_errors(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="source failing can't read this: OSError: the disk is on fire"):
        load_dataset(Failing, Failing.Options(), tmp_path, "continuous")


def test_option_accepts_one_name_or_a_list() -> None:
    options = source("csv").Options
    assert options(path="p", target="a", inputs="b") == options(path="p", target=["a"], inputs=["b"])
    target = options.model_json_schema()["properties"]["target"]
    assert {choice["type"] for choice in target["anyOf"]} == {"string", "array"}
    with pytest.raises(ValidationError):
        options(path="p", target=[])
