"""A package written from docs/plugins alone: installed with pip, its tests pass and a spec uses all of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "packages" / "structflow-stranger"
LIGHT = "not compile_together and not compile_each"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed it into, from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(PACKAGE, folder / "source")
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", *install, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python where the package and structflow's own plugins are all there is."""
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "STRUCTFLOW_PLUGINS": "structflow-stranger"}
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
    own = {(each["kind"], each["type"]) for each in listed["plugins"] if each["origin"] == "structflow-stranger"}
    assert own == {
        ("basis_functions", "ridge_wavelet"),
        ("likelihoods", "student_t"),
        ("hypergradients", "sign_direct"),
    }


def test_a_spec_uses_its_basis_function_likelihood_and_hypergradient(installed: Path) -> None:
    done = python(installed, "structflow", "run", "spec.yaml", "-o", "run", "--quiet", "--set", "compute.compile=false")
    assert done.returncode == 0, done.stderr
    shown = json.loads(python(installed, "structflow", "show", "run", "--json").stdout)
    chosen = {entry["structure"]["x->h"][0] for entry in shown["ranking"]}
    assert len(chosen) == 2
    assert any(name.startswith("ridge_wavelet") for name in chosen)
    assert all("rmse" in entry["metrics"]["test"] for entry in shown["ranking"])
