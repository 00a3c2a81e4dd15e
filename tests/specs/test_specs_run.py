"""Every spec under specs/ runs, with small settings; what it finds with its own settings is in docs/experiments.md."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

import structflow

FOLDER = Path(__file__).parents[2] / "specs"
SPECS = sorted(FOLDER.rglob("*.yaml"))
SMALL = ["optimizer.inner.steps=20", "optimizer.restarts=1", "evidence.samples=8", "compute.compile=false"]
N_STRUCTURES = {
    "quickstart": 24,  # 4 activations × 3 widths × with or without the straight part
    "e1-simplex": 3,
    "e4-boston-one-layer": 1,
    "e4-boston-three-layers": 1,
    "e5-wine": 1,
    "e5-wine-at-once": 1,
    "e5-boston-at-once": 1,
    "e5-correlated-at-once": 1,
    "e6a-masks": 2**4,
    "e6b-activation": 10,
    "e6d-polynomials": 9,
    "e7-real-table": 2 * 3 * 2 * 2,  # activations × widths × second layer or not × straight part or not
    "classification": 6 * 2,
    "own-csv/spec": 2 * 3 * 2,  # activations × widths × with or without the straight part
    "theory/t1-subsample": 1,
    "theory/t2-temperature": 5,
    "theory/t3-evidence": 1,
    "theory/t6-relevance": 2,
    "theory/t7-vertices": 2,  # two of the three are one function
    "theory/t8-tradeoff": 2 * 2,  # with or without the tanh units × with or without the polynomial
    "theory/t10-entropy": 1,
    "e1-nine-settings": 3,
    "e1-repulsion": 3,
    "theory/t4-path": 1,
    "theory/t5-prior-weight": 1,
    "theory/t9-repulsion": 3**3,
    "e2-polynomial": 1,
    "e3-digits": 1,
    "e3-series/spec": 1,
    "search/three-edges": 3 * 2 + 2,  # with the hidden unit, and without
    "search/six-edges": 2980,  # of 4^6 combinations
}
QUICK = {"quickstart", "e4-boston-one-layer", "theory/t1-subsample", "search/three-edges"}
"""Specs that every call of the tests runs; `make thorough` runs the others."""

FEWER_ROUNDS = {"repulsive": "regime.visits=2", "growth": "regime.max_rounds=3"}
"""Overrides of regimes with many rounds, by form or type."""


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def test_every_spec_is_known() -> None:
    """A new spec needs its number of structures above."""
    assert {name_of(path) for path in SPECS} == set(N_STRUCTURES)


def small_settings(spec: dict) -> list[str]:
    """Few steps, restarts and shares; of a sweep the first setting, of many stages and rounds the first ones."""
    small = list(SMALL)
    if "stages" in spec:
        small.append(f"stages={[{**stage, 'optimizer.inner.steps': 20} for stage in spec['stages'][:2]]}")
    if "relevance" in spec:
        small += ["relevance.shares=[0.0, 0.5]", "relevance.samples=8", "relevance.perturbations=1"]
    if "sweep" in spec:
        small.append(f"sweep={[{key: values[:1] for key, values in block.items()} for block in spec['sweep']]}")
    regime = spec.get("regime", {})
    regime = {"type": regime} if isinstance(regime, str) else regime
    return small + [FEWER_ROUNDS[kind] for kind in (regime.get("form"), regime.get("type")) if kind in FEWER_ROUNDS]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name_of(path), marks=[pytest.mark.thorough] * (name_of(path) not in QUICK))
        for path in SPECS
    ],
)
def test_spec_runs(path: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    run = structflow.run(path, tmp_path / "run", overrides=small_settings(spec))
    assert run.summary["status"] == "finished"
    assert run.summary["n_structures"] == N_STRUCTURES[name_of(path)]
    searches_all = spec.get("regime", {}).get("type", "enumeration") == "enumeration" and not run.summary["relaxed"]
    if searches_all:
        assert len(run.ranking) == N_STRUCTURES[name_of(path)]
    else:
        assert 1 <= len(run.ranking) <= N_STRUCTURES[name_of(path)]
    for entry in run.ranking:
        assert math.isfinite(entry["log_evidence"])
        assert math.isfinite(entry["log_evidence_se"])
    assert sum(entry["probability"] for entry in run.ranking) == pytest.approx(1.0)
