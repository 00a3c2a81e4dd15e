"""`structflow plugins` and specs beside installed packages that work, fail in every way, or are left out.

The packages are folders with metadata as pip writes them, on the path of a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import studies

from structflow import __version__

FUNCTION = """\
from structflow.plugins import BasisFunction, hookimpl

class Function(BasisFunction):
    '''g(x) = x, under the name {type}.

    More of it.
    '''
    type = "{type}"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {{}}

    def forward(self, weights, x):
        return x

@hookimpl{marker}
def basis_functions():
    return [Function]
"""

LIKELIHOOD = """\
from structflow.builtin.likelihoods.gaussian import Gaussian
from structflow.plugins import hookimpl

class Undocumented(Gaussian):
    type = "undocumented"

@hookimpl
def likelihoods():
    return [Undocumented]
"""

CROOKED = """\
from structflow.plugins import BasisFunction, hookimpl

class Crooked(BasisFunction):
    '''Says (rows, *out_shape) and returns one column.'''
    type = "crooked"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {"weight": in_shape}

    def forward(self, weights, x):
        return (x @ weights["weight"])[:, None]

@hookimpl
def basis_functions():
    return [Crooked]
"""


def function(type_name: str, marker: str = "") -> str:
    """The source of a module with one basis function."""
    return FUNCTION.format(type=type_name, marker=marker)


def install(folder: Path, name: str, version: str = "1.1", **sources: str) -> None:
    """Put a distribution into a folder, with an entry point for every module; module names begin with the name."""
    module = name.replace("-", "_").lower()
    metadata = folder / f"{module}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = "".join(f"{key} = {module}_{key}\n" for key in sources)
    (metadata / "entry_points.txt").write_text(f"[structflow]\n{points}")
    for key, source in sources.items():
        (folder / f"{module}_{key}.py").write_text(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: `good-one` works, every other one fails in a way of its own."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "good-one", "2.5", functions=function("good"), likelihoods=LIKELIHOOD)
    install(folder, "raises", hooks="raise RuntimeError('two\\nlines')")
    install(folder, "exits", hooks="import sys\nsys.exit(3)")
    install(folder, "panics", hooks="class Panic(BaseException): pass\nraise Panic('index out of range')")
    install(folder, "prints", hooks="print('hello')\n" + function("printed"))
    install(folder, "lacks-import", hooks="from structflow.plugins import SomethingNewer")
    install(folder, "twin-a", hooks=function("twin"))
    install(folder, "twin-b", hooks=function("twin"))
    install(folder, "takes-dense", hooks=function("dense", marker="(trylast=True)"))
    install(folder, "newer", hooks=function("newer").replace('"newer"', '"newer"\n    interface = (2, 99)'))
    install(folder, "newer-hook", hooks=function("kept") + "\n@hookimpl\ndef schedulers():\n    return []\n")
    install(folder, "unfinished", hooks=function("unfinished").replace("def forward", "def backward"))
    install(folder, "wraps", hooks=function("wrapping", marker="(wrapper=True)").replace("return [Fun", "yield [Fun"))
    install(folder, "crooked", hooks=CROOKED)
    return folder


def call(site: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`structflow ARGUMENTS` in a process that finds the packages of the site, and those installed beside it."""
    code = "import sys; from structflow.cli import main; sys.argv[0] = 'structflow'; main()"
    kept = {key: value for key, value in os.environ.items() if key != "STRUCTFLOW_PLUGINS"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**kept, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def answer(site: Path) -> dict[str, Any]:
    """What `structflow plugins --json` says with all packages; it ends with 0, although most are broken."""
    called = call(site, "plugins", "--json")
    assert called.returncode == 0, called.stderr
    assert "hello" in called.stderr  # what a package prints at import isn't in the way of the JSON
    document: dict[str, Any] = json.loads(called.stdout)
    return document


def packages(answer: Mapping[str, Any], origin: str) -> list[dict[str, Any]]:
    return [package for package in answer["packages"] if package["origin"] == origin]


def types(answer: Mapping[str, Any], origin: str) -> list[str]:
    return [plugin["type"] for plugin in answer["plugins"] if plugin["origin"] == origin]


def test_a_plugin_is_listed_with_where_it_comes_from(answer: dict[str, Any]) -> None:
    assert answer["interface"] == "2.0"
    (listed,) = (plugin for plugin in answer["plugins"] if plugin["type"] == "good")
    assert listed == {
        "kind": "basis_functions",
        "type": "good",
        "origin": "good-one",
        "version": "2.5",
        "hook": "good_one_functions:basis_functions",
        "interface": "2.0",
        "description": "g(x) = x, under the name good.",
        "status": "loaded",
    }
    (dense,) = (plugin for plugin in answer["plugins"] if plugin["type"] == "dense")
    assert (dense["origin"], dense["version"]) == ("structflow", __version__)
    assert dense["hook"] == "structflow.builtin.hooks:basis_functions"


def test_a_class_without_docstring_is_described_by_the_one_it_derives_from(answer: dict[str, Any]) -> None:
    (listed,) = (plugin for plugin in answer["plugins"] if plugin["type"] == "undocumented")
    assert listed["description"].startswith("p(y | f) = ∏_j N(y_j | f_j, σ_j²)")


def test_a_package_may_have_two_entry_points(answer: dict[str, Any]) -> None:
    first, second = packages(answer, "good-one")
    assert [first["entry_point"], second["entry_point"]] == ["good_one_functions", "good_one_likelihoods"]
    assert {first["status"], second["status"]} == {"loaded"}
    assert first["reason"] is None
    assert types(answer, "good-one") == ["good", "undocumented"]


@pytest.mark.parametrize(
    ("origin", "reason", "usable"),
    [
        ("raises", "RuntimeError: two lines", []),
        ("exits", "SystemExit: 3", []),
        ("panics", "Panic: index out of range", []),
        ("lacks-import", "cannot import name 'SomethingNewer'", []),
        ("lacks-import", "written for another version of structflow", []),
        ("twin-b", "basis_functions 'twin' of twin-b is refused: twin-a already registered that name", []),
        ("takes-dense", "'dense' of takes-dense is refused: structflow already registered that name", []),
        ("newer", "Function is written for plugin interface 2.99; this is 2.0: update structflow", []),
        ("newer-hook", "hook schedulers isn't part of plugin interface 2.0", ["kept"]),
        ("newer-hook", "written for a newer structflow", ["kept"]),
        ("unfinished", "Function doesn't implement forward", []),
        ("wraps", "hook basis_functions is a wrapper; expected a function that returns a list of classes", []),
    ],
)
def test_what_is_broken_is_reported_with_its_reason(
    answer: dict[str, Any], origin: str, reason: str, usable: list[str]
) -> None:
    (package,) = packages(answer, origin)
    assert package["status"] == "broken"
    assert package["version"] == "1.1"
    assert reason in package["reason"]
    assert "\n" not in package["reason"]
    assert types(answer, origin) == usable
    (listed,) = (each for each in answer["broken"] if each["origin"] == origin)
    assert listed == {"origin": origin, "status": "broken", "reason": package["reason"]}


def test_what_works_is_untouched(answer: dict[str, Any]) -> None:
    assert types(answer, "twin-a") == ["twin"]
    assert types(answer, "prints") == ["printed"]
    assert packages(answer, "prints")[0]["status"] == "loaded"
    assert {"dense", "gaussian", "csv", "enumeration"} <= set(types(answer, "structflow"))


def test_the_table_at_80_columns(site: Path) -> None:
    called = call(site, "plugins", "--kind", "basis_function", COLUMNS="80")
    assert called.returncode == 0
    lines = called.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["good", "good-one"] for line in lines)
    assert "basis functions" in called.stdout
    assert "regimes" not in called.stdout  # another kind
    assert "broken: raises: RuntimeError: two lines" in called.stdout


def test_only_the_packages_named_are_imported(site: Path) -> None:
    """`Good_One` is good-one by PEP 503; `raises` is left out, so that it isn't broken; one isn't installed."""
    chosen = call(site, "plugins", "--json", STRUCTFLOW_PLUGINS="Good_One, not.here,")
    answer = json.loads(chosen.stdout)
    assert "hello" not in chosen.stderr
    assert {plugin["origin"] for plugin in answer["plugins"]} == {"structflow", "good-one"}
    assert answer["broken"] == []
    assert packages(answer, "raises") == [
        {
            "origin": "raises",
            "version": "1.1",
            "entry_point": "raises_hooks",
            "status": "disabled",
            "reason": "not named in STRUCTFLOW_PLUGINS",
        }
    ]
    (absent,) = packages(answer, "not-here")
    assert (absent["status"], absent["version"], absent["entry_point"]) == ("missing", None, None)
    assert absent["reason"] == "STRUCTFLOW_PLUGINS names it, but it isn't installed"


def test_an_empty_variable_leaves_only_structflows_own(site: Path) -> None:
    called = call(site, "plugins", "--json", STRUCTFLOW_PLUGINS="")
    answer = json.loads(called.stdout)
    assert {plugin["origin"] for plugin in answer["plugins"]} == {"structflow"}
    assert {package["status"] for package in answer["packages"] if package["origin"] != "structflow"} == {"disabled"}
    assert "hello" not in called.stderr


def test_a_package_without_plugins_is_reported_as_such(site: Path) -> None:
    answer = json.loads(call(site, "plugins", "--json", STRUCTFLOW_PLUGINS="click").stdout)
    (package,) = packages(answer, "click")
    assert package["status"] == "missing"
    assert package["reason"] == "STRUCTFLOW_PLUGINS names it, but it has no entry point in the group 'structflow'"


def test_a_spec_that_names_an_unknown_type_hears_of_packages_that_may_hold_it(site: Path, tmp_path: Path) -> None:
    spec = studies.write(studies.spec(model=studies.model([{"from": "x", "to": "y", "basis": ["ripple"]}])), tmp_path)
    called = call(site, "validate", spec, STRUCTFLOW_PLUGINS="raises,good-one,twin-a")
    assert called.returncode == 2
    assert "no basis function 'ripple'; installed: " in called.stderr
    assert "package raises is broken (RuntimeError: two lines)" in called.stderr
    assert "disabled by STRUCTFLOW_PLUGINS: crooked, exits, " in called.stderr
    assert "run `structflow plugins`" in called.stderr


def test_a_function_of_another_shape_than_declared_is_named(site: Path, tmp_path: Path) -> None:
    """30 training rows onto two hidden units: (30, 1) would be broadcast to (30, 2) without a word.

    Its structures are left out; the other one is ranked.
    """
    edge = {"from": "x", "to": "h", "choose": "one", "basis": ["dense", {"type": "crooked", "name": "bent"}]}
    spec = studies.write(studies.spec(model=studies.model([edge, studies.LAST], h={"shape": [2]})), tmp_path)
    called = call(site, "run", spec, "-o", tmp_path / "run", STRUCTFLOW_PLUGINS="crooked")
    assert called.returncode == 1
    said = " ".join(called.stdout.split())
    assert "basis function 'bent' on edge x->h (type 'crooked' of package crooked) broke its contract" in said
    assert "Crooked.forward returned the shape (30, 1); expected (rows, *out_shape) = (30, 2)" in said
    assert "Traceback" not in called.stderr
    assert "internal error" not in called.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "losses"], "'losses' is no kind of plugin; expected one of basis_function, "),
        (["new", "mine"], "--kind is missing; expected one of basis_function, "),
        (["new", "mine", "--kind", "loss"], "tracker, all"),
        (["new", "two words", "--kind", "tracker"], "'two words' can't name a package: expected letters"),
        (["new", "2fast", "--kind", "tracker"], "Python can't import; begin with a letter"),
        (["new", "class", "--kind", "tracker"], "its module would be class"),
        (["new", "json", "--kind", "tracker"], "a module json is there already"),
        (["new", "Structflow", "--kind", "tracker"], "a module structflow is there already"),
        (["new", "mine", "--kind", "tracker", "-o", "full"], "full is not empty; choose another folder with -o"),
        (["new", "mine", "--kind", "tracker", "-o", "full/file"], "full/file is a file"),
    ],
)
def test_bad_calls_are_one_line_and_write_nothing(cli: Any, arguments: list[str], words: str) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("mine")
    called = cli("plugins", *arguments)
    assert (called.code, called.out) == (2, "")
    assert words in called.err
    assert len(called.err.splitlines()) == 1
    assert sorted(map(str, Path().rglob("*"))) == ["full", "full/file"]
    assert Path("full/file").read_text() == "mine"
