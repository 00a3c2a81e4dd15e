"""Packages written from docs/plugins alone: installed with pip, their tests pass and a spec uses all of each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "packages"
PLUGINS = {
    "structflow-stranger": {
        ("basis_functions", "ridge_wavelet"),
        ("likelihoods", "student_t"),
        ("hypergradients", "sign_direct"),
    },
    "structflow-five": {
        ("weight_posteriors", "sharp"),
        ("weight_priors", "cauchy"),
        ("criteria", "hannan_quinn"),
        ("inner_optimizers", "adagrad"),
        ("metrics", "error_quantile"),
    },
}
LIGHT = "not compile_together and not compile_each"


@pytest.fixture(scope="module", params=PLUGINS)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder named as a package that pip has installed into it, from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("packages") / request.param
    shutil.copytree(PACKAGES / request.param, folder / "source")
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", *install, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python where the package and structflow's own plugins are all there is."""
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "STRUCTFLOW_PLUGINS": installed.name}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=installed / "source", env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.thorough
def test_its_own_tests_pass(installed: Path) -> None:
    done = python(installed, "pytest", "-q", "-p", "no:cacheprovider", "-m", LIGHT)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 100


def test_it_is_listed(installed: Path) -> None:
    listed = json.loads(python(installed, "structflow", "plugins", "--json").stdout)
    own = {(each["kind"], each["type"]) for each in listed["plugins"] if each["origin"] == installed.name}
    assert own == PLUGINS[installed.name]


@pytest.mark.thorough
def test_a_spec_uses_all_of_it(installed: Path) -> None:
    done = python(installed, "structflow", "run", "spec.yaml", "-o", "run", "--quiet", "--set", "compute.compile=false")
    assert done.returncode == 0, done.stderr
    shown = json.loads(python(installed, "structflow", "show", "run", "--json").stdout)
    resolved = (installed / "source" / "run" / "resolved.yaml").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{name}\b", resolved) for _, name in PLUGINS[installed.name])
    assert len({entry["structure"]["x->h"][0] for entry in shown["ranking"]}) == 2
    assert all("rmse" in entry["metrics"]["test"] for entry in shown["ranking"])
    if installed.name == "structflow-five":
        assert shown["criterion"] == "hannan_quinn"
        assert all("error_quantile" in str(entry["metrics"]["test"]) for entry in shown["ranking"])
