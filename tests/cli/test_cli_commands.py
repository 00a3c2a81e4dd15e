"""Every command does what its help says, and prints the JSON that DESIGN 7 names for programs."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import studies
import yaml

from structflow.cli.group import cli as group
from structflow.spec.load import load_spec

COMMANDS = [
    "certify", "doctor", "gc", "init", "list", "plan", "plot", "plugins", "predict", "render", "resume", "run",
    "schema", "show", "validate", "verify",
]  # fmt: skip


def strict(text: str):
    """JSON as the standard has it: no NaN or Infinity."""

    def refuse(name: str):
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=refuse)


def test_every_command_is_tested_here(cli):
    assert group.list_commands(None) == COMMANDS
    called = cli("--help")
    assert called.code == 0
    assert all(f"\n  {name} " in called.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(cli, name):
    called = cli(name, "--help")
    assert called.code == 0
    assert called.out.startswith(f"Usage: structflow {name} ")
    assert called.err == ""


def test_version(cli):
    from structflow import __version__

    assert __version__ in cli("--version").out


def test_validate(cli, tmp_path):
    path = studies.write(studies.wide(), tmp_path)
    called = cli("validate", path)
    assert (called.code, called.err) == (0, "")
    assert "8 structures; 30 training rows, 10 held out" in called.out  # 2 activations × 2 widths × skip or none
    assert strict(cli("validate", path, "--json").out) == {"valid": True, "errors": [], "warnings": []}


def test_one_structure_is_not_plural(cli, tmp_path):
    edges = [studies.EDGE | {"basis": [{"type": "dense", "activation": "tanh"}]}, studies.LAST]
    path = studies.write(studies.spec(model=studies.model(edges, h={"shape": [2]})), tmp_path)
    assert "is valid: 1 structure; 30 training rows, 10 held out" in cli("validate", path).out
    assert "1 structure; 2 members in" in cli("plan", path).out


def test_validate_json_of_a_bad_spec(cli, tmp_path):
    """Fields as in DESIGN 7; the line is that of the file."""
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(studies.spec(), sort_keys=False) + "optimiser: {restarts: 2}\n")
    called = cli("validate", path, "--json")
    assert called.code == 2
    assert called.err == ""
    answer = strict(called.out)
    assert set(answer) == {"valid", "errors"}
    assert answer["valid"] is False
    (problem,) = answer["errors"]
    assert set(problem) == {"path", "line", "message", "suggestion"}
    assert problem["path"] == "optimiser"
    assert problem["line"] == len(path.read_text().splitlines())
    assert "optimizer" in problem["suggestion"]


def test_plan(cli, tmp_path):
    path = studies.write(studies.wide(), tmp_path)
    called = cli("plan", path)
    assert called.code == 0
    assert "8 structures; 24 members in 14 tasks" in called.out
    answer = strict(cli("plan", path, "--json").out)
    assert {"n_structures", "n_members", "n_tasks", "exact", "stages", "estimate"} <= set(answer)  # DESIGN 7
    assert set(answer) - {"execution", "settings"} == {
        "n_structures", "n_structures_exact", "n_members", "n_tasks", "exact", "stages", "estimate", "warnings"
    }  # fmt: skip
    assert (answer["n_structures"], answer["n_members"], answer["exact"]) == (8, 24, True)
    assert answer["n_structures_exact"]
    assert answer["n_tasks"] == 1 + 6 + 1 + 6  # decide, train, select, evaluate; six batches of four members
    (stage,) = answer["stages"]
    assert (stage["members"], stage["batches"], stage["steps"]) == (24, 6, 30)
    assert list(Path().iterdir()) == []


def test_render_gives_an_equal_spec(cli, tmp_path):
    path = studies.write(studies.spec(), tmp_path)
    called = cli("render", path, "--set", "optimizer.restarts=3")
    assert called.code == 0
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(called.out)
    assert yaml.safe_load(called.out)["optimizer"]["restarts"] == 3
    assert cli("render", rendered).out == called.out


def test_schema(cli):
    called = cli("schema")
    assert called.code == 0
    assert {"data", "model", "optimizer"} <= set(strict(called.out)["properties"])


def test_plugins(cli):
    assert "gumbel_softmax" in cli("plugins").out
    answer = strict(cli("plugins", "--json").out)
    dense = {"kind": "basis_functions", "type": "dense", "origin": "structflow", "status": "loaded"}
    assert any(dense.items() <= plugin.items() for plugin in answer["plugins"])
    assert [each for each in answer["broken"] if each["origin"] == "structflow"] == []


def test_doctor(cli):
    called = cli("doctor")
    assert called.code == 0
    assert "torch" in called.out
    checks = {each["check"]: each for each in strict(cli("doctor", "--json").out)}
    assert checks["python"]["ok"]
    assert all(set(each) == {"check", "ok", "found", "remedy"} for each in checks.values())


def test_show(cli, finished):
    called = cli("show", finished, "--top", 3)
    assert called.code == 0
    assert "3 of 8 structures" in called.out
    assert "x->h: dense:" in called.out


def test_a_run_is_called_what_its_folder_is_called_now(cli, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "renamed")
    assert cli("show", tmp_path / "renamed").out.startswith("run renamed: finished, 8 structures")
    assert cli("verify", tmp_path / "renamed").out == f"{tmp_path / 'renamed'} is intact\n"


def test_show_json_has_the_fields_of_the_design(cli, finished):
    """The names are DESIGN 7's, beside what ranks and the stages; the entries add ties, scores and hyperparameters."""
    called = cli("show", finished, "--json")
    assert called.code == 0
    answer = strict(called.out)
    assert list(answer) == [
        "run", "status", "spec_hash", "n_structures", "criterion", "ranking", "unranked", "pruned", "relaxed",
        "relevance", "stages",
        "failures", "settings", "extension", "warnings", "seconds",
    ]  # fmt: skip
    assert answer["run"] == "run"
    assert answer["status"] == "finished"
    assert answer["n_structures"] == len(answer["ranking"]) == 8
    assert answer["relaxed"] is None  # no relaxation in an enumeration
    assert answer["settings"] == []  # no sweep
    assert answer["seconds"] > 0
    named = {
        "rank", "structure", "log_evidence", "log_evidence_se", "evidence", "evidence_se", "probability", "restarts",
        "restart_agreement", "c_param", "c_struct", "metrics", "robustness",
        "converged", "converged_unknown", "still_gaining", "still_gaining_se", "left_to_gain",
    }  # fmt: skip
    for number, entry in enumerate(answer["ranking"], start=1):
        more = {"tied_with_best", "hyperparameters", "score", "score_se", "log_prior", "relative_density"}
        more |= {"evidence_missing", "evidence_unsure"}
        assert set(entry) == named | more
        assert entry["score"] == entry["log_evidence"]
        assert entry["rank"] == number
        assert set(entry["structure"]) == {"x->h", "h->y", "x->y", "h"}
        assert entry["structure"]["h"] in ([2], [3])
        assert entry["structure"]["x->h"][0] in ("dense:tanh", "dense:relu")
        assert entry["restarts"] == 3
        assert entry["restart_agreement"] in (1 / 3, 2 / 3, 1.0)
        assert entry["evidence"] == {"elbo": entry["log_evidence"]}
        assert entry["still_gaining"] >= 0
        assert entry["still_gaining_se"] >= 0
        assert (entry["converged"] is None) == (entry["converged_unknown"] is not None)
        assert entry["c_struct"] == 0.0  # a discrete structure has no entropy
        for rows in ("train", "test"):
            assert set(entry["metrics"][rows]) == {"rmse", "mae", "log_likelihood", "calibration_error"}
        assert entry["robustness"] == {"train": {}, "test": {}}  # the spec doesn't ask for it
    assert math.isclose(sum(entry["probability"] for entry in answer["ranking"]), 1.0)


def test_list(cli, finished):
    called = cli("list", finished.parent)
    assert called.code == 0
    assert "finished" in called.out
    (row,) = strict(cli("list", finished.parent, "--json").out)
    assert (row["run"], row["status"], row["n_structures"]) == ("run", "finished", 8)
    assert cli("list", finished).out.startswith("no runs")


def test_plot(cli, finished, tmp_path):
    called = cli("plot", finished, "-o", tmp_path / "figure.png")
    assert called.code == 0
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_predict(cli, finished, tmp_path):
    """y = tanh(x0): predictions of the three rows are in that order; other columns are ignored."""
    table = pandas.DataFrame({"other": ["a", "b", "c"], "x1": [0.0, 0.0, 0.0], "x0": [-1.5, 0.0, 1.5]})
    table.to_csv(tmp_path / "new.csv", index=False)
    called = cli("predict", finished, tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert called.code == 0
    assert "3 predictions" in called.out
    found = pandas.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == ["y", "y standard deviation"]
    assert np.all(np.diff(found["y"]) > 0)
    assert np.all(found["y standard deviation"] > 0)


def test_predict_tables_of_other_formats(cli, finished, tmp_path):
    """The same rows in csv, with another separator, and in parquet with shuffled rows labels."""
    table = pandas.DataFrame({"x1": [0.0, 0.5, 1.0], "x0": [-1.5, 0.0, 1.5]}, index=[7, 3, 5])
    table.to_csv(tmp_path / "new.csv", index=False)
    table.to_csv(tmp_path / "semicolons.txt", index=False, sep=";")
    table.to_parquet(tmp_path / "new.parquet")
    for name, options in [("new.csv", []), ("semicolons.txt", ["--set", "separator=;"]), ("new.parquet", [])]:
        assert cli("predict", finished, tmp_path / name, "-o", tmp_path / f"{name}.out", *options).code == 0
    texts = {path.read_text() for path in tmp_path.glob("*.out")}
    assert len(texts) == 1


def test_predict_classes(cli, tmp_path):
    """Probabilities of the classes, by label, that sum to one."""
    rows = np.random.default_rng(0).normal(size=(40, 2))
    labels = np.where(rows[:, 0] > 0, "yes", "no")
    pandas.DataFrame({"a": rows[:, 0], "b": rows[:, 1], "label": labels}).to_csv(tmp_path / "table.csv", index=False)
    document = studies.spec(
        data={"source": "csv", "path": str(tmp_path / "table.csv"), "target": "label", "split": {"test": 0.25}},
        model={**studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]), "likelihood": {"type": "categorical"}},
        optimizer={"inner": {"steps": 150, "lr": 0.05}, "restarts": 2},
    )
    called = cli("run", studies.write(document, tmp_path), "-o", "run")
    assert called.code == 0
    assert set(strict(cli("show", "run", "--json").out)["ranking"][0]["metrics"]["test"]) >= {
        "accuracy",
        "log_likelihood",
        "calibration_error",
    }
    assert cli("predict", "run", tmp_path / "table.csv", "-o", "out.csv", "--best").code == 0
    found = pandas.read_csv("out.csv")
    assert list(found.columns) == ["probability no", "probability yes"]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert np.mean((found["probability yes"] > 0.5) == (labels == "yes")) > 0.9


def test_init_and_run(cli):
    """The spec it writes runs as it is (fewer steps here), and its name is the folder's."""
    called = cli("init", "my-study")
    assert called.code == 0
    assert "structflow run my-study/spec.yaml" in called.out
    short = ["optimizer.inner.steps=3", "optimizer.restarts=1", "evidence.samples=4", "compute.compile=false"]
    options = [part for text in short for part in ("--set", text)]
    called = cli("run", "my-study/spec.yaml", *options)
    assert called.code == 0
    assert "stored in runs/my-study" in called.out
    assert strict(cli("show", "runs/my-study", "--json").out)["n_structures"] == 4


@pytest.mark.parametrize("name", ["2024", "1e5", "true", "null", "0x10", "0o17", "1.", "a.b"])
def test_init_in_a_folder_whose_name_reads_as_something_else(cli, name):
    """YAML reads all but the last of these names as numbers, a boolean and nothing."""
    assert cli("init", name).code == 0
    assert load_spec(f"{name}/spec.yaml").name == name


@pytest.mark.parametrize("target", ["1e5", "2024", "true", "null", "~", "- a", "'"])
def test_init_with_a_target_whose_name_reads_as_something_else(cli, tmp_path, target):
    pandas.DataFrame({"a": [1.0, 2.0, 3.0, 5.0, 8.0], target: [2.0, 3.0, 1.0, 0.0, 7.0]}).to_csv("t.csv", index=False)
    assert cli("init", "study", "--csv", "t.csv", "--target", target).code == 0
    assert load_spec("study/spec.yaml").data.target == (target,)


def test_init_with_a_table(cli, tmp_path):
    """A path relative to the spec, and a target whose name needs quotes in YAML."""
    rows = np.random.default_rng(0).normal(size=(20, 2))
    pandas.DataFrame({"a": rows[:, 0], "yes: no": rows[:, 1]}).to_csv(tmp_path / "my table.csv", index=False)
    assert cli("init", "study", "--csv", tmp_path / "my table.csv", "--target", "yes: no").code == 0
    assert cli("validate", "study/spec.yaml").code == 0
    stored = yaml.safe_load(Path("study/spec.yaml").read_text())["data"]
    assert stored["target"] == "yes: no"
    assert (Path("study") / stored["path"]).resolve() == tmp_path / "my table.csv"


def test_the_same_command_on_a_finished_run_does_nothing(cli, finished, tmp_path):
    """The ranking is printed again; not a file is touched."""
    copy = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    called = cli("run", studies.write(studies.wide(), tmp_path), "-o", copy)
    assert called.code == 0
    assert "8 of 8 structures" in called.out
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_quiet(cli, tmp_path):
    called = cli("run", studies.write(studies.spec(), tmp_path), "-o", "run", "--quiet")
    assert (called.code, called.out, called.err) == (0, "", "")


def test_plot_of_a_structure(cli, finished, tmp_path):
    called = cli("plot", finished, "--structure", "--rank", "2", "-o", tmp_path / "structure.png")
    assert called.code == 0
    assert (tmp_path / "structure.png").read_bytes().startswith(b"\x89PNG")
