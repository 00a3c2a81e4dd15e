"""`structflow certify`: its table, its JSON, what it leaves in a run, and how it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import studies

from structflow.store.run_directory import RunDirectory

SHORT = ["--steps", 3, "--method", "greedy", "--method", "reversible", "--method", "one_level"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `spec.yaml` and its finished run in `run`."""
    import structflow

    folder = tmp_path_factory.mktemp("certify")
    document = studies.spec(optimizer={"inner": {"steps": 5}, "restarts": 1})
    structflow.run(studies.write(document, folder), folder / "run")
    return folder


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_fits_the_terminal(cli, run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    called = cli("certify", run / "spec.yaml", *SHORT)
    assert (called.code, called.err) == (0, "")
    lines = called.out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("small: dQ/dh through 3 gradient steps (rate ")
    assert lines[0].endswith(" in place of Adam")
    names = {line.split()[0]: line.split()[-1] for line in lines if line.split()[-1:] and " e" not in line[:1]}
    assert (names["unroll"], names["reversible"]) == ("exact", "exact")
    assert names["greedy"] in ("close", "biased")
    assert "warning" not in called.out
    assert list(Path().iterdir()) == []


def test_json_and_what_is_stored_and_shown(cli, run, tmp_path):
    """The certificate that is printed is the one in the run; `show` has a line of it, and its JSON all of it."""
    copy = shutil.copytree(run / "run", tmp_path / "run")
    before = cli("show", copy)
    assert "certificate" not in before.out
    assert "certificate" not in json.loads(cli("show", copy, "--json").out)
    called = cli("certify", run / "spec.yaml", *SHORT, "--store", copy, "--json")
    assert called.code == 0, called.err
    printed = json.loads(called.out)
    assert RunDirectory(copy).read_sealed("certificate.json") == printed
    assert json.loads(cli("show", copy, "--json").out)["certificate"] == printed
    shown = cli("show", copy).out
    assert shown.startswith(before.out)
    own = next(row for row in printed["methods"] if row["type"] == "one_level")
    error = f"{own['relative_error']:.1e}"
    assert f"certificate: one_level is within {error} of finite differences ({own['verdict']})" in shown


def test_another_study_is_refused_before_anything_is_computed(cli, run):
    called = cli("certify", run / "spec.yaml", "--set", "seed=3", "--store", run / "run")
    assert called.code == 2
    assert "holds a run of another study" in called.err
    assert not (run / "run" / "certificate.json").exists()


def test_a_hyperparameter_without_influence_ends_with_2(cli, tmp_path):
    document = studies.spec(
        prior={"weights": {"precision": "per_parameter"}},
        objective={"preset": "hold_out"},
        optimizer={"outer": "hoag", "restarts": 1},
    )
    called = cli("certify", studies.write(document, tmp_path), "--steps", 1, "--method", "reversible")
    assert (called.code, called.out) == (2, "")
    assert called.err.startswith("error: log_precision/")
    assert "no influence on Q" in called.err


def test_differences_that_step_over_kinks_are_pointed_out(cli, run):
    """A certificate whose differences don't agree says where else to look."""
    from structflow.report.certificate_table import certificate_line, print_certificate

    called = cli("certify", run / "spec.yaml", *SHORT, "--json")
    certificate = json.loads(called.out)
    certificate["differences"]["uncertainty"] = 0.1
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_certificate(certificate, "small")
    assert "warning: the differences are coarser than 1.0e-05" in out.getvalue()
    assert "read the column of unroll instead" in out.getvalue()
    certificate["own_method"] = "random_search"
    assert certificate_line(certificate).startswith("certificate without random_search; exact: unroll, reversible")
