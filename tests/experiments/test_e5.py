"""E5 with small settings: the script's curves and tables, and that weights that don't matter can go."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import structflow

ROOT = Path(__file__).parents[2]
SMALL = ["optimizer.inner.steps=20", "evidence.samples=16", "compute.compile=false"]


@pytest.fixture(scope="module")
def pruning() -> ModuleType:
    description = importlib.util.spec_from_file_location(
        "e5_weight_pruning", ROOT / "docs" / "experiments" / "weight_pruning.py"
    )
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules["e5_weight_pruning"] = module
    description.loader.exec_module(module)
    return module


def test_the_table_of_two_splits_by_hand(pruning: ModuleType) -> None:
    """Accuracies 0.9 and 1.0 fall to 0.8 and 0.94: mean 0.87 ± 0.07, fall 0.08 ± 0.02."""
    splits = [{"graves": {0.0: 0.9, 0.8: 0.8}}, {"graves": {0.0: 1.0, 0.8: 0.94}}]
    whole, left = pruning.mean_table(splits)
    assert (whole["mean"], whole["fall"]) == pytest.approx((0.95, 0.0))
    assert (left["mean"], left["error"]) == pytest.approx((0.87, 0.07))
    assert (left["fall"], left["fall_error"]) == pytest.approx((0.08, 0.02))


@pytest.mark.thorough
def test_wine_has_a_curve_for_a_criterion(pruning: ModuleType, tmp_path: Path) -> None:
    """Two rounds of 20 steps: of the whole network of 37 weights with 2 hidden units 30 are gone, 0.811."""
    overrides = [
        *SMALL,
        "regime.shares=[0.8]",
        "model.nodes.h.shape=[2]",
        "optimizer.inner.samples=1",
        "sweep=[{regime.criterion: [belsley]}]",
    ]
    (curves,) = pruning.wine(tmp_path, [3], overrides)
    assert {name: list(curve) for name, curve in curves.items()} == {
        "belsley": [0.0, 0.811],
    }


def test_noise_can_go_from_a_linear_model(tmp_path: Path) -> None:
    """y = x0 of 20 inputs: one of 21 weights is left without 95 %, and the error on the test rows stays.

    For optimal brain damage and Graves, whose order puts the weight of x0 last; its row noise is 0, its likelihood's
    0.1, and 480 training rows leave an error of the whole model below 0.01.
    """
    spec = ROOT / "specs" / "e5-correlated-at-once.yaml"
    run = structflow.run(spec, tmp_path / "run", overrides=[
        *SMALL, "data.rows=600", "data.inputs=20", "relevance.criteria=[optimal_brain_damage, graves]",
        "relevance.shares=[0, 0.95, 1]",
        "relevance.samples=16",
    ])  # fmt: skip
    for curve in run.summary["relevance"][0]["criteria"].values():
        whole, one, nothing = curve["metrics"]["test"]["rmse"]
        assert whole < 0.01
        assert one < 0.01
        assert nothing == pytest.approx(1.0, abs=0.1)
