"""Calls that can't work end with a code and a few plain words, and change nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas
import pytest
import studies


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    return studies.write(studies.spec(), tmp_path)


def assert_refused(called, *words: str, code: int = 2) -> None:
    assert called.code == code
    assert called.out == ""
    assert 0 < len(called.err.splitlines()) <= 12
    assert "Traceback" not in called.err
    assert "internal error" not in called.err
    for word in words:
        assert word in called.err


@pytest.mark.parametrize(("typed", "meant"), [("rnu", "run"), ("valdate", "validate"), ("shwo", "show")])
def test_unknown_command(cli, typed, meant):
    assert_refused(cli(typed, "spec.yaml"), f"No such command {typed!r}. Did you mean {meant!r}?")


@pytest.mark.parametrize("typed", ["__init__", "a.b", "", "../run", "RUN-ALL"])
def test_what_is_no_name_of_a_command(cli, typed):
    assert_refused(cli(typed), "No such command")


@pytest.mark.parametrize("arguments", [["run"], ["show"], ["run", "a", "b"], ["run", "a", "--nothing"], ["init"]])
def test_wrong_arguments(cli, arguments):
    assert_refused(cli(*arguments), "Usage: structflow")


@pytest.mark.parametrize("name", ["run", "validate", "plan", "render"])
def test_missing_spec(cli, name):
    assert_refused(cli(name, "nowhere.yaml"), "nowhere.yaml")


@pytest.mark.parametrize("name", ["run", "validate", "plan", "render"])
def test_a_folder_as_spec(cli, name):
    Path("folder").mkdir()
    assert_refused(cli(name, "folder"), "folder")
    assert list(Path("folder").iterdir()) == []


def test_a_spec_that_is_not_text(cli):
    Path("spec.yaml").write_bytes(b"\xff\xfe\x00name: \x80")
    assert_refused(cli("run", "spec.yaml"), "spec.yaml")


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("optimizer.restart=2", "restarts"),
        ("optimizer.restarts", "="),
        ("model.edges[9].choose=one", "edges"),
        ("optimizer.restarts=two", "optimizer.restarts"),
        ("=3", "="),
    ],
)
def test_bad_overrides(cli, spec_file, override, word):
    assert_refused(cli("run", spec_file, "--set", override), word)
    assert list(Path().iterdir()) == []


def test_output_is_a_file(cli, spec_file):
    Path("file").write_text("mine")
    assert_refused(cli("run", spec_file, "-o", "file"), "file is a file", "-o")
    assert Path("file").read_text() == "mine"


def test_output_is_a_folder_with_other_things(cli, spec_file):
    Path("folder").mkdir()
    Path("folder/mine.txt").write_text("mine")
    assert_refused(cli("run", spec_file, "-o", "folder"), "not empty and not a run directory", "-o")
    assert os.listdir("folder") == ["mine.txt"]


def test_output_may_be_an_empty_folder(cli, spec_file):
    Path("folder").mkdir()
    assert cli("run", spec_file, "-o", "folder", "--set", "optimizer.inner.steps=2").code == 0


def test_output_below_a_file(cli, spec_file):
    """Storage that can't be used is code 3; this holds for every user, root too."""
    Path("file").write_text("mine")
    assert_refused(cli("run", spec_file, "-o", "file/run"), "can't make the run directory file/run", code=3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_in_a_folder_without_permission(cli, spec_file):
    Path("closed").mkdir(mode=0o500)
    assert_refused(cli("run", spec_file, "-o", "closed/run"), "Permission denied", code=3)


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_workers_are_a_positive_number(cli, spec_file, workers):
    assert_refused(cli("run", spec_file, "--workers", workers), "--workers")


@pytest.mark.parametrize("name", ["show", "plot"])
@pytest.mark.parametrize("path", ["nowhere", "folder", "file"])
def test_what_is_not_a_run(cli, name, path):
    Path("folder").mkdir()
    Path("file").write_text("mine")
    assert_refused(cli(name, path), f"{path} is not a run directory")
    assert os.listdir("folder") == []


def test_predict_with_what_is_not_a_run(cli):
    Path("table.csv").write_text("x0,x1\n1,2\n")
    assert_refused(cli("predict", "nowhere", "table.csv", "-o", "out.csv"), "nowhere is not a run directory")


def test_predict_without_table(cli, finished):
    assert_refused(cli("predict", finished, "nowhere.csv", "-o", "out.csv"), "nowhere.csv")
    assert not Path("out.csv").exists()


def test_predict_with_missing_columns(cli, finished):
    Path("table.csv").write_text("x1,z\n1,2\n")
    assert_refused(
        cli("predict", finished, "table.csv", "-o", "out.csv"),
        "there is no column 'x0', which the run was trained with; the table has 'x1', 'z'",
        "add it, or rename the column that holds it; the inputs of the training table are 'x0', 'x1'",
    )
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("name", ["table.csv", "./table.csv", "symbolic.csv", "hard.csv"])
def test_predict_onto_its_own_input(cli, finished, name):
    """The table is left as it is, by whatever name it is written to."""
    table = Path("table.csv")
    table.write_text("x0,x1\n1,2\n")
    Path("symbolic.csv").symlink_to("table.csv")
    Path("hard.csv").hardlink_to("table.csv")
    called = cli("predict", finished, table, "-o", name)
    assert_refused(called, f"{Path(name)} would overwrite the table table.csv", "another name", "-o")
    assert table.read_text() == "x0,x1\n1,2\n"
    other = cli("predict", finished, name, "-o", table)
    assert_refused(other, f"table.csv would overwrite the table {name if name != './table.csv' else './table.csv'}")


@pytest.mark.parametrize("value", ["text", ""])
def test_predict_with_text_or_gaps(cli, finished, value):
    Path("table.csv").write_text(f"x0,x1\n1,2\n3,{value}\n")
    assert_refused(cli("predict", finished, "table.csv", "-o", "out.csv"), "x1")
    assert not Path("out.csv").exists()


def test_predict_with_trailing_commas(cli, finished):
    """Three fields under a header of two would shift every column by one."""
    Path("table.csv").write_text("x0,x1\n1,2,\n3,4,\n")
    assert_refused(cli("predict", finished, "table.csv", "-o", "out.csv"), "table.csv", "Expected 2 fields")
    assert not Path("out.csv").exists()


def test_predict_with_an_unknown_source(cli, finished):
    Path("table.csv").write_text("x0,x1\n1,2\n")
    assert_refused(cli("predict", finished, "table.csv", "-o", "out.csv", "--source", "cvs"), "no source 'cvs'")


def test_predict_without_rows(cli, finished):
    Path("table.csv").write_text("x0,x1\n")
    assert_refused(cli("predict", finished, "table.csv", "-o", "out.csv"), "table.csv")


def test_predict_into_a_folder_that_is_not_there(cli, finished):
    pandas.DataFrame({"x0": [1.0], "x1": [2.0]}).to_csv("table.csv", index=False)
    assert_refused(cli("predict", finished, "table.csv", "-o", "nowhere/out.csv"), "nowhere", code=3)


def test_plot_into_a_folder_that_is_not_there(cli, finished):
    assert_refused(cli("plot", finished, "-o", "nowhere/figure.png"), "nowhere/figure.png")


def test_list_of_what_is_not_a_folder(cli):
    assert_refused(cli("list", "nowhere"), "nowhere is not a folder")


def test_another_spec_on_a_run_directory(cli, finished, tmp_path):
    """What changed is named as `field: old → new`."""
    copy = shutil.copytree(finished, tmp_path / "run")
    spec = studies.write(studies.wide(), tmp_path)
    called = cli("run", spec, "-o", copy, "--set", "optimizer.inner.steps=31", "--set", "seed=4")
    assert_refused(called, "another study", "optimizer.inner.steps: 30 → 31", "seed: 0 → 4", "-o")
    assert "structflow resume" not in called.err  # it is finished


def test_other_data_on_a_run_directory(cli, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "\n".join(f"{number},{number % 3}" for number in range(12)))
    document = studies.spec(
        data={"source": "csv", "path": "table.csv", "target": "b"},
        model=studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]),
        optimizer={"inner": {"steps": 2}, "restarts": 1},
    )
    spec = studies.write(document, tmp_path)
    assert cli("run", spec, "-o", "run").code == 0
    table.write_text(table.read_text().replace("11,2", "11,1"))
    assert_refused(cli("run", spec, "-o", "run"), "the data: other values than when the run began")


def test_init_twice(cli):
    assert cli("init", "study").code == 0
    Path("study/spec.yaml").write_text("mine")
    assert_refused(cli("init", "study"), "is there already")
    assert Path("study/spec.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["-x", "a b", "ä", "a" * 65, ".hidden"])
def test_init_with_a_bad_name(cli, name):
    assert_refused(cli("init", "--", name), "can't name a study")
    assert list(Path().iterdir()) == []


def test_init_with_a_table_that_does_not_suit(cli):
    """The spec is there to be edited; what is wrong is said with its line. Or the call is corrected."""
    Path("table.csv").write_text("a,b,c\n1,high,2\n2,low,3\n3,low,5\n4,high,7\n")
    call = ["init", "study", "--csv", "table.csv", "--target"]
    assert_refused(
        cli(*call, "b"),
        "line ",
        "choose a likelihood over classes",
        "edit it, or correct this command",
    )
    assert Path("study/spec.yaml").exists()
    assert_refused(cli(*call, "d"), "there is no column 'd'")
    Path("table.csv").write_text("a,c\n1,2\n2,3\n3,5\n4,7\n")
    assert cli(*call, "c").code == 0
    assert_refused(cli(*call, "a"), "is there already")


def test_init_with_a_table_that_is_not_there(cli):
    """The folder that this call made has a name like the table's, and isn't suggested."""
    for _ in range(2):
        called = cli("init", "s-nofile", "--csv", "nofile.csv", "--target", "price")
        assert called.code == 2
        assert "there is no 'nofile.csv'" in called.err
        assert "did you mean" not in called.err
    Path("no-file.csv").write_text("size,price\n1,2\n2,3\n")
    assert "did you mean 'no-file.csv'?" in cli("init", "s-nofile", "--csv", "nofile.csv", "--target", "price").err


def test_init_leaves_an_edited_spec_alone(cli):
    """Also where it doesn't load: somebody is at work on it."""
    Path("table.csv").write_text("a,b\n1,high\n2,low\n3,low\n4,high\n")
    call = ["init", "study", "--csv", "table.csv", "--target"]
    cli(*call, "b")
    edited = Path("study/spec.yaml").read_text().replace("restarts: 4", "restarts: 5")
    Path("study/spec.yaml").write_text(edited)
    assert_refused(cli(*call, "a"), "is there already")
    assert Path("study/spec.yaml").read_text() == edited


def test_init_with_half_of_a_table(cli):
    assert_refused(cli("init", "study", "--csv", "table.csv"), "--csv and --target go together")
    assert list(Path().iterdir()) == []


def test_a_device_that_is_not_there(cli, spec_file, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    called = cli("run", spec_file, "--set", "compute.device=cuda")
    assert_refused(called, "compute.device is cuda", "set it to auto or cpu")
    assert list(Path().iterdir()) == []


def test_a_fault_of_the_program_is_called_that(cli, spec_file, monkeypatch):
    """A traceback only on request."""

    def fail(*arguments):
        raise RuntimeError("the reason")

    monkeypatch.setattr("structflow.spec.load.load_study", fail)
    called = cli("validate", spec_file)
    assert called.code == 1
    assert "internal error: RuntimeError: the reason" in called.err
    assert "Traceback" not in called.err
    assert "Traceback" in cli("--debug", "validate", spec_file).err


def test_a_damaged_record(cli, tmp_path):
    """Storage is code 3: a record of an unfinished run that is no longer what was written."""
    spec = studies.write(studies.spec(), tmp_path)
    assert cli("run", spec, "-o", "run").code == 0
    Path("run/summary.json").unlink()
    record = Path("run/records/setting0-select.json")
    record.write_text(record.read_text().replace('"best_restart": ', '"best_restart": 1'))
    called = cli("run", spec, "-o", "run")
    assert called.code == 3
    assert "setting0-select.json is damaged" in called.err
