"""The commands of every case in these folders, as somebody would type them, and how they must end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import studies

import structflow

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parent
NOBODY = [
    "unshare",
    "-U",
    "--map-user=4321",
    "--map-group=4321",
    "env",
    "-u",
    "HOME",
    "-u",
    "USER",
    "-u",
    "XDG_CACHE_HOME",
]
"""Runs a command as a user without a home directory and without an entry in the list of users."""


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the case that the test is named for, as the working directory."""
    folder = tmp_path / request.param
    shutil.copytree(HERE / request.param, folder)
    monkeypatch.chdir(folder)
    return folder


def of(name: str) -> pytest.MarkDecorator:
    """Run the test in a copy of this folder."""
    return pytest.mark.parametrize("case", [name], indirect=True)


def ranked(cli, spec: str) -> dict[str, dict]:
    """The entries of the ranking of a spec by what x->y chose."""
    called = cli("run", spec, "-o", "r", "--quiet")
    assert called.code == 0, called.err
    summary = json.loads(cli("show", "r", "--json").out)
    return {"+".join(entry["structure"]["x->y"]): entry for entry in summary["ranking"]}


# Wrong numbers


@of("poisson-start")
@pytest.mark.parametrize("spec", ["spec.yaml", "same-structure.yaml"])
def test_counts_of_a_mean_of_ten(cli, case, spec):
    """The best normal bound of x->y linear is near −415; one Newton step from f = 0 gave −786,011.

    The second spec has a hidden node, too, that needs no weights where it is switched off.
    """
    assert cli("run", spec, "-o", "r", "--quiet").code == 0
    ranking = json.loads(cli("show", "r", "--json").out)["ranking"]
    entry = next(entry for entry in ranking if entry["structure"]["x->y"] == ["linear"])
    assert entry["log_evidence"] == pytest.approx(-415.0, abs=1.0)
    assert entry["metrics"]["test"]["rmse"] == pytest.approx(3.0, abs=1.0)


@of("numerics")
def test_counts_with_a_step(cli, case):
    """Values of an independent optimisation of the bound, from whom found the fault."""
    found = ranked(cli, "poisson.yaml")
    assert found["linear"]["log_evidence"] == pytest.approx(-397.55, abs=0.3)
    assert found["constant"]["log_evidence"] == pytest.approx(-433.04, abs=0.3)


@of("numerics")
def test_noise_that_is_large_in_prepared_units(cli, case):
    """The closed form of Bayesian linear regression."""
    found = ranked(cli, "curv.yaml")
    assert found["linear"]["log_evidence"] == pytest.approx(-742.49, abs=0.05)
    assert found["constant"]["log_evidence"] == pytest.approx(-890.86, abs=0.05)
    assert found["linear"]["evidence"]["exact"] == pytest.approx(-742.49, abs=0.01)
    assert found["constant"]["evidence"]["exact"] == pytest.approx(-890.86, abs=0.01)


@of("numerics")
def test_the_exact_evidence_of_every_linear_model(cli, case):
    """The polynomial of degree 2 made the data; it was left out of the ranking."""
    found = ranked(cli, "exact.yaml")
    assert set(found) == {"linear", "polynomial:2", "polynomial:3"}
    best = found["polynomial:2"]
    assert best["rank"] == 1
    assert best["log_evidence"] == pytest.approx(-24.277, abs=0.01)
    assert best["probability"] == pytest.approx(0.9995, abs=0.0005)


@of("numerics")
def test_more_columns_than_rows(cli, case):
    """After 10,000 steps −87.65 and −87.68: near each other, or marked as not converged."""
    found = ranked(cli, "wide.yaml")
    assert found["constant"]["log_evidence"] == pytest.approx(-87.68, abs=0.1)
    if found["linear"]["converged"]:
        assert found["linear"]["log_evidence"] == pytest.approx(-87.65, abs=0.1)
        assert found["linear"]["probability"] == pytest.approx(0.5, abs=0.1)


# Tables read as they say


@of("predict-trailing-comma")
def test_a_separator_at_the_end_of_rows(cli, case):
    """Training on such a table is refused; so is predicting, or the first row gives 33.16 as it does without."""
    assert cli("run", "spec.yaml", "-o", "r", "--quiet").code == 0
    assert cli("predict", "r", "t.csv", "-o", "right.csv").code == 0
    right = pandas.read_csv("right.csv").iloc[0, 0]
    assert right == pytest.approx(33.16, abs=0.5)
    called = cli("predict", "r", "new.csv", "-o", "p.csv")
    if called.code == 0:
        assert pandas.read_csv("p.csv").iloc[0, 0] == pytest.approx(right)
    else:
        assert called.code == 2
        assert "3 fields in line 2, saw 4" in called.err
        assert not Path("p.csv").exists()


@pytest.mark.parametrize("case", ["predict-separator", "predict-spaces"], indirect=True)
def test_tables_are_predicted_as_they_were_read(cli, case):
    assert cli("run", "spec.yaml", "-o", "r", "--quiet").code == 0
    called = cli("predict", "r", "t.csv", "-o", "p.csv")
    assert called.code == 0, called.err
    assert len(pandas.read_csv("p.csv")) == 40


@of("parquet-index")
def test_row_labels_are_no_input(cli, case):
    assert cli("run", "spec.yaml", "-o", "r", "--quiet").code == 0
    names = structflow.Run("r").context.study.dataset.input_names
    assert tuple(names) == ("rooms", "cost", "has_yard", "u8", "f16")


@of("zarr-packed")
def test_packed_arrays_are_unpacked(cli, case):
    """y is x[:, 0]; the packed integers are −487, −490, …"""
    assert cli("run", "spec.yaml", "-o", "r", "--quiet").code == 0
    best = json.loads(cli("show", "r", "--json").out)["ranking"][0]
    assert best["metrics"]["test"]["rmse"] < 0.1


# Remedies that can be followed


@of("underscore-remedy")
def test_digits_with_an_underscore(cli, case):
    called = cli("validate", "spec.yaml")
    assert called.code == 2
    assert "line 7: optimizer.inner.steps: got '10_000' (text)" in called.err
    assert "write 10000, without _" in called.err
    Path("spec.yaml").write_text(Path("spec.yaml").read_text().replace("10_000", "10000"))
    assert cli("validate", "spec.yaml").code == 0


@of("label-na")
def test_a_label_that_reads_as_missing(cli, case):
    """NA is Namibia. What the file holds is said, and what is said to keep it can be followed."""
    called = cli("validate", "spec.yaml")
    assert called.code == 2
    assert "'NA'" in called.err
    assert "missing_values" in called.err
    spec = Path("spec.yaml").read_text().replace("path: country.csv,", "path: country.csv, missing_values: [],")
    Path("spec.yaml").write_text(spec)
    assert cli("validate", "spec.yaml").code == 0, cli("validate", "spec.yaml").err


@of("npz-text")
def test_labels_saved_as_objects(cli, case):
    called = cli("validate", "spec.yaml")
    assert called.code == 2
    assert "astype(str)" in called.err
    assert "complete" not in called.err  # the file is


@of("init-number")
@pytest.mark.parametrize("name", ["2024", "1e5", "true", "null", "0x10"])
def test_a_folder_named_like_a_number(cli, case, name):
    called = cli("init", name, "--csv", "t.csv", "--target", "price")
    assert called.code == 0, called.err
    assert called.out.startswith(f"wrote {name}/spec.yaml")
    assert cli("validate", f"{name}/spec.yaml").code == 0


# Environments


@of("latin1-output")
@pytest.mark.parametrize("arguments", [["plan", "spec.yaml"], ["plugins"], ["schema"], ["certify", "--help"]])
def test_a_terminal_of_latin_1(case, arguments):
    called = subprocess.run(
        studies.command(*arguments), env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True
    )
    assert called.returncode == 0, called.stderr
    assert called.stderr == b""
    if arguments == ["schema"]:
        assert called.stdout.isascii()
        json.loads(called.stdout)


@of("no-home")
@pytest.mark.parametrize("named", [False, True])
def test_without_a_home_directory(case, named):
    if subprocess.run([*NOBODY, "true"], capture_output=True).returncode:
        pytest.skip("this machine doesn't allow namespaces of users")
    for path in (case, *case.parents[:3]):
        path.chmod(0o777)
    cache = case / "inductor"
    environment = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    if named:
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache)

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NOBODY, *studies.command(*arguments)], env=environment, capture_output=True, text=True, timeout=300
        )

    called = as_nobody("run", "spec.yaml", "-o", "r", "--set", "compute.compile=true")
    assert called.returncode == 0, called.stderr
    assert "run r: finished" in called.stdout
    assert cache.exists() == named
    assert "compiler cache" in as_nobody("doctor").stdout
    text = Path("spec.yaml").read_text().replace("path: t.csv", "path: ~/t.csv")
    Path("home.yaml").write_text(text)
    refused = as_nobody("validate", "home.yaml")
    assert refused.returncode == 2
    assert "data.path: '~/t.csv' starts with ~, a home directory that isn't known here" in refused.stderr


@of("no-main-guard")
def test_a_script_without_a_guard(case):
    called = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120)
    assert called.returncode == 1
    assert called.stderr.count("Traceback") == 1
    assert 'put the call under `if __name__ == "__main__":`' in called.stderr.splitlines()[-1]
