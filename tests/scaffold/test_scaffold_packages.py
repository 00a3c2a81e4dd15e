"""What `structflow plugins new` writes: packages that install, pass their own tests, and are clean."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from structflow.errors import CallError
from structflow.plugins import KINDS
from structflow.scaffold import PackageName, write_package
from structflow.scaffold.examples import EXAMPLES
from structflow.scaffold.writer import package_texts, requirement

WHOLE = "structflow-rivers"
ALONE = {kind: f"alone-{kind.replace('_', '-')}" for kind in KINDS}
"""A package of each kind by itself, and one of all kinds."""

HEAVY = ("compile", "trains", "follows_a", "estimates_every", "repeats_itself")
"""Parts of the names of checks that take a second or more each; the slow tests make them too."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the nine packages."""
    folder = tmp_path_factory.mktemp("written")
    for kind, name in ALONE.items():
        write_package(PackageName(name), [kind], folder / name)
    write_package(PackageName(WHOLE), list(KINDS), folder / WHOLE)
    return folder


@pytest.fixture(scope="module")
def site(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed all of them into."""
    target = tmp_path_factory.mktemp("site")
    packages = [written / name for name in (*ALONE.values(), WHOLE)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    installed = subprocess.run([*command, "--target", target, *packages], capture_output=True, text=True, timeout=300)
    assert installed.returncode == 0, installed.stderr
    return target


def call(site: Path, *arguments: object, cwd: Path, packages: str | None = None) -> subprocess.CompletedProcess[str]:
    """A Python module as a program, with the installed packages on its path, all of them selected or those named."""
    selected = ",".join([*ALONE.values(), WHOLE]) if packages is None else packages
    environment = {**os.environ, "PYTHONPATH": str(site), "STRUCTFLOW_PLUGINS": selected}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip


def counted(output: str) -> int:
    """How many tests passed; none failed."""
    assert "failed" not in output, output
    assert "error" not in output, output
    found = re.search(r"(\d+) passed", output)
    assert found is not None, output
    return int(found.group(1))


def test_there_is_an_example_of_every_kind() -> None:
    assert list(EXAMPLES) == list(KINDS)
    assert {example.base for example in EXAMPLES.values()} == {base.__name__ for base in KINDS.values()}


def test_all_are_installed_and_loaded(site: Path) -> None:
    """Nine packages, none broken: the types of a kind differ by the name of their package."""
    called = call(site, "structflow", "plugins", "--json", cwd=site)
    answer = json.loads(called.stdout)
    assert answer["broken"] == []
    loaded = {package["origin"] for package in answer["packages"] if package["status"] == "loaded"}
    assert loaded == {"structflow", WHOLE, *ALONE.values()}
    for kind, name in ALONE.items():
        prefix, word = name.replace("-", "_"), EXAMPLES[kind].word
        assert [(row["kind"], row["type"]) for row in answer["plugins"] if row["origin"] == name] == [
            (kind, f"{prefix}_{word}")
        ]
    assert [row["type"] for row in answer["plugins"] if row["origin"] == WHOLE] == [
        f"rivers_{example.word}" for example in EXAMPLES.values()
    ]
    assert all(row["description"] for row in answer["plugins"])


@pytest.mark.thorough
def test_the_packages_pass_their_own_tests(site: Path, written: Path) -> None:
    """All nine in one process: the formulas, and the kit on sixteen plugins without its heavy checks."""
    folders = [written / name / "tests" for name in (*ALONE.values(), WHOLE)]
    options = ["-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", written, "-q"]
    called = call(site, "pytest", *options, "-k", f"not ({' or '.join(HEAVY)})", *folders, cwd=written)
    assert counted(called.stdout) > 300


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ALONE.values(), WHOLE])
def test_a_package_passes_all_of_its_own_tests(site: Path, written: Path, name: str) -> None:
    called = call(site, "pytest", "-p", "no:cacheprovider", cwd=written / name, packages=name)
    assert counted(called.stdout) > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ALONE.values(), WHOLE])
def test_the_spec_of_a_package_runs(site: Path, written: Path, tmp_path: Path, name: str) -> None:
    run = ["structflow", "run", "spec.yaml", "-o", tmp_path / "run", "--set", "optimizer.inner.steps=40"]
    called = call(site, *run, "--set", "compute.compile=false", cwd=written / name, packages=name)
    assert called.returncode == 0, called.stderr
    ranking = json.loads((tmp_path / "run" / "summary.json").read_text())["ranking"]
    assert len(ranking) >= 1
    assert (tmp_path / "run" / "progress.csv").exists() == (name in (WHOLE, ALONE["trackers"]))


def test_every_spec_is_valid(site: Path, written: Path) -> None:
    """Two of them stand for the rest here, every one is run by the slow test."""
    for name in (WHOLE, ALONE["structure_distributions"]):
        called = call(site, "structflow", "validate", "spec.yaml", cwd=written / name)
        assert called.returncode == 0, called.stderr
        assert "is valid" in called.stdout


def test_the_code_is_clean_for_ruff(written: Path) -> None:
    """By its own settings, and by those of structflow; formatted as ruff does."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    # In a package of its own structflow is a third party, and tests need no docstrings.
    overrides = [
        "--config",
        "lint.isort.known-first-party=[]",
        "--config",
        "lint.per-file-ignores={'tests/*' = ['D1']}",
    ]
    for command in (
        ["check"],
        ["check", "--config", project, *overrides],
        ["format", "--check"],
    ):
        checked = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=written / WHOLE, capture_output=True,
            text=True,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [WHOLE, ALONE["basis_functions"]])
def test_the_code_is_clean_for_mypy(site: Path, written: Path, tmp_path: Path, name: str) -> None:
    checked = call(site, "mypy", "--strict", "--cache-dir", tmp_path, ".", cwd=written / name)
    assert checked.returncode == 0, checked.stdout


def test_templates_have_no_placeholder_left_and_end_in_one_line_break(written: Path) -> None:
    for path in written.rglob("*"):
        if path.is_file() and path.name != "py.typed":
            text = path.read_text(encoding="utf-8")
            assert "$" not in text.replace("${{ matrix.python }}", ""), path
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path


def test_the_metadata_say_what_the_package_is(written: Path) -> None:
    project = tomllib.loads((written / WHOLE / "pyproject.toml").read_text())["project"]
    assert project["name"] == WHOLE
    assert project["entry-points"] == {"structflow": {"plugins": "structflow_rivers.hooks"}}
    assert requirement("0.1.0") == "structflow>=0.1.0,<0.2"
    assert requirement("2.3.1") == "structflow>=2.3.1,<3"


def test_what_publishing_needs_is_there(written: Path) -> None:
    """Licence, classifiers, addresses, a changelog and a workflow that does what the README says."""
    folder = written / WHOLE
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]
    assert "Copyright (c) the authors of structflow-rivers" in (folder / "LICENSE").read_text()
    assert {"Typing :: Typed", "Development Status :: 3 - Alpha"} <= set(project["classifiers"])
    assert not any("License ::" in each for each in project["classifiers"])  # PEP 639: not beside a licence expression
    assert set(project["urls"]) == {"Homepage", "Issues", "Changelog"}
    assert all(url.startswith("https://github.com/OWNER/structflow-rivers") for url in project["urls"].values())
    assert "## 0.1.0" in (folder / "CHANGELOG.md").read_text()
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "tests.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    installed = [re.split(r"[<>=]", each)[0] for each in project["optional-dependencies"]["dev"]]
    assert installed == ["build", "mypy", "pytest", "ruff", "twine"]
    assert [step.split()[0] for step in steps] == ["pip", "ruff", "ruff", "mypy", "pytest", "pytest", "python", "twine"]
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"][0] == project["requires-python"].removeprefix(">=")


def test_the_metadata_that_pip_installs_have_licence_and_addresses(site: Path) -> None:
    (metadata,) = site.glob("structflow_rivers-*.dist-info")
    said = email.message_from_string((metadata / "METADATA").read_text())
    assert said["License-Expression"] == "MIT"
    assert len(said.get_all("Project-URL", [])) == 3
    assert len(said.get_all("Classifier", [])) == 7
    assert "MIT License" in (metadata / "licenses" / "LICENSE").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(CallError, match="is not empty"):
        write_package(PackageName("structflow-lakes"), ["trackers"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    files = write_package(PackageName("Structflow.Lakes"), ["trackers"], tmp_path)
    assert tmp_path / "structflow_lakes" / "csv_tracker.py" in files
    assert 'type = "lakes_csv"' in (tmp_path / "structflow_lakes" / "csv_tracker.py").read_text()


def test_only_the_kinds_wanted_are_written() -> None:
    texts = package_texts(PackageName("structflow-lakes"), [EXAMPLES["likelihoods"]])
    assert [path for path in texts if path.startswith("structflow_lakes/")] == [
        "structflow_lakes/__init__.py", "structflow_lakes/hooks.py", "structflow_lakes/py.typed",
        "structflow_lakes/laplace.py",
    ]  # fmt: skip
    assert "likelihood: {type: lakes_laplace, scale: learned}" in texts["spec.yaml"]
    assert "regime: {type: enumeration}" in texts["spec.yaml"]
    assert "pytest -m compile_together" in texts[".github/workflows/tests.yml"]
    alone = package_texts(PackageName("structflow-lakes"), [EXAMPLES["trackers"]])
    assert "compile_together" not in alone[".github/workflows/tests.yml"]  # pytest fails where it selects nothing


@pytest.mark.parametrize(
    "name", ["", "-x", "x-", "a b", "a/b", "../x", "ä", "a" * 65, "1st", "import", "json", "pytest", "structflow"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(CallError, match="can't name a package"):
        PackageName(name)
