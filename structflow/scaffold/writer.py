"""Writes a package of plugins: metadata, hooks, an example of every kind wanted, a spec that uses them, tests, and what
publishing needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from .. import __version__
from ..errors import CallError
from ..plugins import INTERFACE_VERSION, noun_of
from .examples import EXAMPLES, RELAXED, SECTIONS, Example
from .names import PackageName

TEMPLATES = files("structflow.scaffold") / "templates"

COMPILED = ("basis_functions", "likelihoods")
"""Kinds with a check in the kit that compiles; pytest fails where it selects nothing."""

COMPILED_STEP = "      - run: pytest -m compile_together"

LINE_LENGTH = 120
"""Of the code that is written."""


def write_package(name: PackageName, kinds: Sequence[str], folder: Path) -> list[Path]:
    """Write the package with an example of every kind, named by its hook, and return the files.

    Raises `CallError` where the folder holds anything: nothing is overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise CallError(f"{folder} is a file; choose another folder with -o")
    if folder.exists() and any(folder.iterdir()):
        raise CallError(f"{folder} is not empty; choose another folder with -o")
    texts = package_texts(name, [example for kind, example in EXAMPLES.items() if kind in kinds])
    written = []
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:  # follows no link, and overwrites nothing
            file.write(text)
        written.append(target)
    return written


def package_texts(name: PackageName, examples: Sequence[Example]) -> dict[str, str]:
    """The text of every file by its path in the package."""
    words = listing([example.kind.replace("_", " ") for example in examples])
    values = {
        "name": name.distribution,
        "module": name.module,
        "prefix": name.prefix,
        "requirement": requirement(__version__),
        "interface": repr(INTERFACE_VERSION),
        "words": words,
        "words_began": f"First version: {words}",
        "table": "\n".join(table_row(name, example) for example in examples),
        "hooks": hooks_code(examples),
        "tests": tests_code(name, examples),
        "compiled": COMPILED_STEP if any(example.kind in COMPILED for example in examples) else "",
        **sections(name, examples),
    }
    values["spec"] = without_blank_lines(filled("package/spec.yaml", values))
    texts = {
        "pyproject.toml": filled("package/pyproject.toml", values),
        "README.md": filled("package/README.md", values),
        "LICENSE": filled("package/LICENSE", values),
        "CHANGELOG.md": filled("package/CHANGELOG.md", values),
        ".github/workflows/tests.yml": without_blank_lines(filled("package/workflow.yml", values)),
        "spec.yaml": values["spec"],
        ".gitignore": "__pycache__/\ndist/\nruns/\n",
        f"{name.module}/__init__.py": filled("package/init.py", values),
        f"{name.module}/hooks.py": filled("package/hooks.py", values),
        f"{name.module}/py.typed": "",
        "tests/test_conformance.py": filled("package/test_conformance.py", values),
    }
    for example in examples:
        texts[f"{name.module}/{example.module}.py"] = filled(f"examples/{example.kind}/module.py", values)
        texts[f"tests/test_{example.module}.py"] = filled(f"examples/{example.kind}/test.py", values)
    return texts


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its placeholders replaced; an unknown placeholder is an error."""
    return Template((TEMPLATES / f"{template}.template").read_text(encoding="utf-8")).substitute(values)


def sections(name: PackageName, examples: Sequence[Example]) -> dict[str, str]:
    """The sections of `spec.yaml`, those of the examples in place of the usual ones."""
    own = {example.section[0]: example.lines(name.prefix) for example in examples}
    regime = {"regime": RELAXED} if "prior_structure" in own else {}
    prior = {"prior": "prior:"} if own.keys() & {"prior_weights", "prior_structure"} else {}
    return {**SECTIONS, **regime, **prior, **own}


def hooks_code(examples: Sequence[Example]) -> str:
    """Imports and hooks of `hooks.py`."""
    contracts = imported("structflow.plugins", [*sorted(example.base for example in examples), "hookimpl"])
    hooks = [
        f"@hookimpl\ndef {example.kind}() -> list[type[{example.base}]]:\n"
        f'    """Here: {example.about}."""\n    return [{example.class_name}]'
        for example in examples
    ]
    return "\n\n\n".join([f"{contracts}\n\n{classes('', examples)}", *hooks])


def tests_code(name: PackageName, examples: Sequence[Example]) -> str:
    """Imports and classes of `test_conformance.py`."""
    kit = imported("structflow.testing", sorted(["PackageTests", *(f"{example.base}Tests" for example in examples)]))
    tests = [
        f"class Test{example.class_name}({example.base}Tests):\n    plugin = {example.class_name}"
        for example in examples
    ]
    whole = f'class TestPackage(PackageTests):\n    package = "{name.distribution}"'
    return "\n\n\n".join([f"{kit}\n\n{classes(name.module, examples)}", whole, *tests])


def imported(module: str, names: Sequence[str]) -> str:
    """The import of names, on one line or a line each."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) > LINE_LENGTH:
        return f"from {module} import (\n" + "".join(f"    {each},\n" for each in names) + ")"
    return line


def classes(package: str, examples: Sequence[Example]) -> str:
    """The imports of the classes from their modules in a package; relative ones without its name."""
    by_module = sorted(examples, key=lambda example: example.module)
    return "\n".join(f"from {package}.{example.module} import {example.class_name}" for example in by_module)


def table_row(name: PackageName, example: Example) -> str:
    """The row of an example in the README."""
    kind, type_name = noun_of(example.kind), example.type_name(name.prefix)
    return f"| {kind} | `{type_name}` | `{name.module}.{example.module}.{example.class_name}` | {example.about} |"


def requirement(version: str) -> str:
    """This version of structflow or a later one with the same interface: below the next minor one, from 1 on major."""
    major, minor = (int(part) for part in version.split(".")[:2])
    below = f"{major + 1}" if major else f"0.{minor + 1}"
    return f"structflow>={version},<{below}"


def listing(words: Sequence[str]) -> str:
    """Words with commas, and `and` before the last."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def without_blank_lines(text: str) -> str:
    """The text without the lines that sections left empty."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip())
