"""The specs of this package run from end to end with tiny settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import structflow

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))


def tiny(path: Path) -> dict[str, Any]:
    """The spec with three steps of one restart on windows of 12."""
    spec: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec["optimizer"] = {"inner": {**spec["optimizer"]["inner"], "steps": 3}, "restarts": 1}
    spec["data"]["length"] = 12
    return {**spec, "evidence": {"samples": 2}, "compute": {"compile": False}}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_spec_runs(path: Path, tmp_path: Path) -> None:
    run = structflow.run(tiny(path), tmp_path / "run")
    structures = {(entry["structure"]["x->h"][0], *entry["structure"]["x->y"]) for entry in run.ranking}
    functions = ("convolution", "gru", "lstm", "attention:2", "none")
    assert structures == {(name, *skip) for name in functions for skip in ((), ("autoregression",))}
    assert all(np.isfinite(entry["log_evidence"]) for entry in run.ranking)
    assert all(np.isfinite(entry["metrics"]["test"]["rmse"]) for entry in run.ranking)
