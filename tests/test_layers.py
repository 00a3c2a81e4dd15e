"""The layers of the package import one way only, and nobody imports the built-ins."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[1]


def test_contracts_of_pyproject_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_contributing_names_them_in_their_order() -> None:
    (contract,) = (
        each
        for each in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
            "contracts"
        ]
        if each["type"] == "layers"
    )
    names = " · ".join(layer.removeprefix("structflow.") for layer in reversed(contract["layers"]))
    assert names in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
