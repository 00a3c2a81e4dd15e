"""Evidence as the criterion: docs/experiments/boston_houses.py on few rows with few steps, and its figure."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from structflow.builtin.evidence_estimators.entropy_of_descent import Look
from structflow.builtin.evidence_estimators.joint_derivatives import LogJoint

DOCS = Path(__file__).parents[2] / "docs"
DOUBLE = torch.float64


def load(file: str) -> ModuleType:
    """A script of docs under a name of its own: `boston` is also a package."""
    name = f"e4_{file.replace('/', '_')}"
    description = importlib.util.spec_from_file_location(name, DOCS / f"{file}.py")
    assert description is not None
    assert description.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


boston, figure = load("experiments/boston_houses"), load("figures/boston_table")


def tiny(layers: str = "one", **changes):
    """30 training and 10 test rows, one prior variance and two rates."""
    settings = boston.Settings(
        restarts=2, steps=8, search_steps=8, check_every=4, patience=8, measure_every=2,
        variances=(10.0,), rates=(0.3, 0.1), compiled=False, **changes,
    )  # fmt: skip
    study, _ = boston.study_of(layers, "standardised", 0, settings)
    table = study.table
    few = boston.Table(table.x[:30], table.y[:30], table.test_x[:10], table.test_y[:10])
    return boston.Study(study.spec, few, settings)


def look(step: int, value: float, largest: float = 0.1) -> Look:
    """One member and restart whose only weight is the number of the step."""
    number = torch.full((1, 1), value, dtype=DOUBLE)
    weights = torch.full((1, 1, 1), float(step), dtype=DOUBLE)
    return Look(step, weights, number, 0 * number, 0 * number, torch.full((1, 1), largest, dtype=DOUBLE))


def followed(looks, stop: bool = True) -> tuple[float, int, float]:
    kept = boston.follow(iter(looks), lambda at: at.bound.mean(1), boston.Settings(patience=200), stop)
    return float(kept.criterion), int(kept.step), float(kept.weights)


def test_the_best_look_is_kept():
    """1, 3, 2, 1, 9 at steps 0 to 400 with patience 200: 3 at step 100; the 9 comes after the stop, at step 300."""
    values = (1.0, 3.0, 2.0, 1.0, 9.0)
    looks = [look(100 * number, value) for number, value in enumerate(values)]
    assert followed(looks) == (3.0, 100, 100.0)
    assert followed(looks, stop=False) == (9.0, 400, 400.0)


def test_steps_that_are_too_large_end_a_trajectory():
    """βλ_max = 0.7 > 0.68 at step 200: what is above stays out, unless nothing is to be stopped."""
    looks = [look(0, 1.0), look(100, 2.0), look(200, 5.0, 0.7)]
    assert followed(looks) == (2.0, 100, 100.0)
    assert followed(looks, stop=False)[0] == 5.0


def test_noise_on_the_inputs():
    """f(x) = Σ x: noise of variance ½ on 13 inputs adds 13 / 2 to the mean square error, over 20 draws of 10 rows."""
    study = tiny()
    errors = study.errors(lambda x: x.sum(1, keepdim=True))
    plain = float(((study.table.test_x.sum(1, keepdim=True) - study.table.test_y) ** 2).mean())
    assert errors["rmse"] == pytest.approx(math.sqrt(plain), rel=1e-12)
    spread = 2 * math.sqrt(plain * 6.5 / 200) + 6.5 * math.sqrt(2 / 200)
    assert abs(errors["rmse_noisy"] ** 2 - plain - 6.5) < 5 * spread


def test_validation_rows_are_apart():
    """24 rows to learn from and the 6 others in the place of test rows."""
    table = tiny().table
    validated = table.validated()
    assert (len(validated.x), len(validated.test_x)) == (24, 6)
    torch.testing.assert_close(torch.cat([validated.x, validated.test_x]), table.x, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["sgd", "sgld"])
def test_a_column_by_its_bound(kind):
    """The bound chooses the larger rate after 8 steps, the only variance, and a look after the start."""
    found = tiny().by_bound(kind)
    assert (found["variance"], found["rate"]) == (10.0, 0.3)
    assert found["step"] in (4, 8)
    assert 0 < found["rmse"] < 30
    assert found["rmse_noisy"] > 0


def test_columns_by_validation():
    """Without a stop all 8 steps are taken; nobody but the third column has a prior."""
    found = tiny().by_validation()
    assert list(found) == ["none", "validation", "validation + prior"]
    assert found["none"]["step"] == 8
    assert [column["variance"] for column in found.values()] == [None, None, 10.0]
    assert all(0 < column["rmse"] < 30 for column in found.values())


def test_the_compiled_derivatives_are_the_derivatives(monkeypatch: pytest.MonkeyPatch):
    """Traced in float32 (the compiler left out), on all rows and on some: within 1e-4 of those in float64."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    study = tiny(batch_size=10)
    exact = boston.members_of(study.spec, study.table, [10.0, 1e9], study.settings)
    fast = boston.CompiledLogJoint(exact.weights, 10, name="test")
    w = exact.weights.starts(2, "test")
    v = exact.weights.normals(2, "test")
    for whole in (exact, LogJoint(exact.weights)):
        quick = fast if whole is exact else boston.CompiledLogJoint(exact.weights, name="test, all rows")
        for ours, theirs in zip(quick.product(w, v, 1), whole.product(w, v, 1), strict=True):
            assert float((ours - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())
        torch.testing.assert_close(quick.gradient(w, 1)[1], whole.gradient(w, 1)[1], rtol=1e-3, atol=1e-1)


def test_the_mean_field_column():
    """A run of structflow on the whole table, 5 steps of the only setting."""
    settings = boston.Settings(
        variances=(10.0,), compiled=False, mean_field_steps=5, mean_field_restarts=1, mean_field_rates=(0.01,)
    )
    study, dataset = boston.study_of("one", "standardised", 0, settings)
    found = study.mean_field(dataset)
    assert found["variance"] == pytest.approx(10.0)
    assert found["rate"] == 0.01
    assert 0 < found["rmse"] < 40


def test_figure_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Mean and deviation over the splits that the results hold, and columns without any left empty."""
    results = {f"one/raw/{split}/none": {"rmse": 3.0 + split, "rmse_noisy": 7.0} for split in range(2)}
    figure.print_table(json.loads(json.dumps(results)))
    assert "| one, raw | RMSE | 3.50 ± 0.71 |  |" in capsys.readouterr().out
    figure.draw(results, tmp_path / "boston.png")
    assert (tmp_path / "boston.png").stat().st_size > 1000
