"""The documentation holds: its specs are valid, its example runs, its tables are complete, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from structflow.plugins.registry import registry
from structflow.spec.models import Spec

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "plugins").glob("*.md")),
    *sorted((ROOT / "plugins").glob("**/README.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


SPECS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
    if block.startswith("structflow:")
]


@pytest.fixture(scope="module")
def spec_keys() -> ModuleType:
    """The module that makes the tables of the spec language."""
    description = importlib.util.spec_from_file_location("spec_keys", ROOT / "docs" / "spec_keys.py")
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules["spec_keys"] = module
    description.loader.exec_module(module)
    return module


def all_keys(spec_keys: ModuleType) -> list[Any]:
    keys = [*spec_keys.spec_keys(), *spec_keys.keys_of(spec_keys.Schedule, "schedule.")]
    for kind in spec_keys.KIND_TITLES:
        keys += spec_keys.common_keys(kind)
        for type_name, registration in registry().of_kind(kind).items():
            if registration.plugin.__module__.startswith("structflow."):
                keys += spec_keys.plugin_keys(kind, type_name)
    return keys


@pytest.mark.parametrize("text", SPECS)
def test_specs_in_the_documentation_are_valid(text: str) -> None:
    Spec.model_validate(yaml.safe_load(text))


def test_there_are_specs_to_check() -> None:
    assert len(SPECS) >= 4


def test_every_key_has_a_meaning(spec_keys: ModuleType) -> None:
    """A key without one needs `Field(description=...)` in its model."""
    assert [key.path for key in all_keys(spec_keys) if not key.meaning] == []


def test_meanings_are_of_keys_that_exist(spec_keys: ModuleType) -> None:
    assert set(spec_keys.MEANINGS) - {key.path for key in all_keys(spec_keys)} == set()


def test_tables_hold_every_key_and_every_kind(spec_keys: ModuleType) -> None:
    text = spec_keys.markdown()
    assert set(spec_keys.KIND_TITLES) == set(registry().kinds)
    for key in spec_keys.spec_keys():
        assert f"| `{key.path}` |" in text
    for kind in registry().kinds:
        for type_name in registry().of_kind(kind):
            assert f"### `{type_name}`" in text
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)


def test_the_page_of_the_spec_asks_for_the_tables() -> None:
    assert "{{ spec_keys }}" in (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def test_every_fault_has_a_test() -> None:
    """The table of faults names all 25 experiments, each with tests that exist."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, 26))
    named = re.findall(r"`(\w+/test_\w+\.py)(?:::(\w+))?`", text)
    assert len(named) > len(numbers)
    for file, name in named:
        assert f"def {name}" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (file, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
