"""The study that compares estimators of log evidence, with small settings."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = ROOT / "docs" / "experiments" / "estimators.py"
    description = importlib.util.spec_from_file_location("estimators_study", path)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules["estimators_study"] = module
    description.loader.exec_module(module)
    return module


def eager(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "compute": {"compile": False}}


def test_polynomials_have_their_evidence(study: ModuleType, tmp_path: Path) -> None:
    """exact = laplace, within the bar of 0.05 nats; the bound below, by more the more weights are correlated."""
    spec = eager(study.linear_spec(["elbo", "laplace", "exact"], steps=50, samples=16))
    found, warnings = study.evidence_of(spec, tmp_path / "run")
    assert len(found) == 3
    slack = {}
    for each in found:
        assert each.value["laplace"] == pytest.approx(each.value["exact"], abs=0.05)
        slack[each.structure["x->y"][0]] = each.value["exact"] - each.value["elbo"]
    assert 0 < slack["polynomial:2"] < slack["polynomial:4"] < slack["polynomial:6"]
    assert each.text("laplace", each.value["exact"]) in ("0.00", "-0.00")
    assert isinstance(warnings, list)


def test_a_network_is_compared_with_annealing(study: ModuleType, tmp_path: Path) -> None:
    """One tanh unit: laplace is below ais by log 2, its other mode; both errors together are below 0.5 nats."""
    spec = eager(study.tanh_spec(["elbo", "laplace", study.ais(60)], units=[1], steps=200, samples=16))
    (found,), _ = study.evidence_of(spec, tmp_path / "run")
    assert found.value["ais"] - found.value["laplace"] == pytest.approx(math.log(2), abs=0.5)
    assert "±" in found.text("ais")


def test_modes_that_are_copies(study: ModuleType) -> None:
    """log(3! 2³) = log 48."""
    assert study.symmetric_modes(3) == pytest.approx(math.log(48))


def test_the_rides_keep_their_spec(study: ModuleType) -> None:
    spec = study.rides_spec(["laplace"], samples=4)
    assert spec["evidence"] == {"estimators": ["laplace"], "samples": 4}
    assert Path(spec["data"]["path"]).is_file()
