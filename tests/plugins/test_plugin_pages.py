"""The examples in docs/plugins are packages: together they load, pass the conformance kit, and work from one spec."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "plugins.md", *sorted((ROOT / "docs" / "plugins").glob("*.md"))]
SPEC = {
    "data": {"source": "two_moons", "rows": 40, "noise": 0.2, "split": {"test": 0.25}},
    "model": {
        "likelihood": "bernoulli",
        "nodes": {"x": {}, "h": {"shape": 3}, "y": {}},
        "edges": [
            {"from": "x", "to": "h", "choose": "one", "basis": ["wave", "squared_linear"]},
            {"from": "h", "to": "y", "basis": ["linear"]},
        ],
    },
    "prior": {"weights": {"type": "logistic"}, "structure": {"type": "gumbel", "temperature": 0.7}},
    "posterior": {"weights": "logistic_weights"},
    "regime": {"type": "random_structures", "structures": 2},
    "optimizer": {
        "inner": {"type": "sign_ascent", "steps": 40},
        "outer": {"type": "minimal_residual", "terms": 3},
        "restarts": 2,
    },
    "criterion": "deviance",
    "evidence": {"estimators": ["cautious_bound", "elbo"], "samples": 32},
    "metrics": ["brier"],
    "relevance": {"criteria": ["magnitude"], "shares": [0, 0.5, 0.9], "samples": 8},
    "trackers": ["best_so_far"],
    "compute": {"compile": False},
}
LIGHT = "not compile_together and not compile_each"
TEST = """
from structflow.plugins.registry import registry
from structflow.testing import TESTS_OF_KIND, BasisExample, PackageTests

EXAMPLES = {"squared_linear": [BasisExample({}, (3,), (2,))], "wave": [BasisExample({}, (3,), (2,))]}


class TestPages(PackageTests):
    package = "structflow-pages"


for kind, tests in TESTS_OF_KIND.items():
    for name, each in registry().of_kind(kind).items():
        if each.origin == "structflow-pages":
            own = {"plugin": each.plugin, "examples": EXAMPLES.get(name), "__module__": __name__}
            globals()[f"Test_{name}"] = type(f"Test_{name}", (tests,), own)
"""


def example(page: Path) -> str:
    """The block of a page that holds a whole plugin."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if "@hookimpl" in block]
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed modules, one a page, that belong to the distribution `structflow-pages`."""
    folder = tmp_path_factory.mktemp("installed")
    metadata = folder / "structflow_pages-1.0.dist-info"
    metadata.mkdir()
    names = [f"page_{page.stem}" for page in PAGES]
    for name, page in zip(names, PAGES, strict=True):
        (folder / f"{name}.py").write_text(example(page), encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: structflow-pages\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[structflow]", *(f"{name} = {name}" for name in names)]))
    return folder


def python(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "STRUCTFLOW_PLUGINS": "structflow-pages"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_kind_has_a_page() -> None:
    from structflow.plugins import KINDS, noun_of

    assert {page.stem for page in PAGES[1:]} == {noun_of(kind).replace(" ", "_") for kind in KINDS}


@pytest.mark.thorough
def test_the_examples_pass_the_kit(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_pages.py").write_text(TEST)
    done = python(
        installed,
        tmp_path,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not compile_together and not compile_each",
        ".",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 100


@pytest.mark.thorough
def test_a_spec_uses_them(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    done = python(installed, tmp_path, "structflow", "run", "spec.yaml", "-o", "run", "--quiet")
    assert done.returncode == 0, done.stderr[-2000:]
    shown = json.loads(python(installed, tmp_path, "structflow", "show", "run", "--json").stdout)
    assert sorted(entry["structure"]["x->h"][0] for entry in shown["ranking"]) == ["squared_linear", "wave:1"]
    first = shown["ranking"][0]
    assert shown["relevance"][0]["criteria"]["magnitude"]["share"] == [0, 0.5, 0.9]
    assert set(first["evidence"]) == {"cautious_bound", "elbo"}
    assert first["evidence"]["cautious_bound"] < first["evidence"]["elbo"]
    assert first["structure"]["x->h"][0] in (tmp_path / "run" / "best.txt").read_text()
