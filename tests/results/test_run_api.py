"""`structflow.run` from Python: files and mappings, directories, overrides, and predictions known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import studies
import yaml

import structflow
from structflow.errors import CallError, SpecError
from structflow.runner.progress import Progress
from structflow.spec.render import render_spec


def quick(**sections):
    return studies.spec(optimizer={"inner": {"steps": 3}, "restarts": 1}, **sections)


def test_a_mapping_goes_to_a_folder_named_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = structflow.run(quick())
    assert run.path == Path("runs/small")
    assert [entry["rank"] for entry in run.ranking] == [1, 2]
    assert isinstance(run, structflow.Run)
    assert yaml.safe_load((run.path / "spec.yaml").read_text())["name"] == "small"


def test_a_file_is_kept_as_written_and_as_resolved(tmp_path):
    """With its comments; the resolved spec holds the overrides and every default."""
    path = studies.write(quick(), tmp_path)
    path.write_text("# my study\n" + path.read_text())
    run = structflow.run(path, tmp_path / "run", overrides=["seed=7"])
    assert (run.path / "spec.yaml").read_text() == path.read_text()
    assert (run.path / "resolved.yaml").read_text() == render_spec(run.context.study.spec)
    assert yaml.safe_load((run.path / "resolved.yaml").read_text())["seed"] == 7
    assert structflow.Run(run.path).ranking == run.ranking
    assert structflow.Run(str(run.path)).ranking == run.ranking


def test_what_a_run_directory_holds(tmp_path):
    run = structflow.run(quick(), tmp_path / "run")
    assert {path.name for path in run.path.iterdir()} == {
        "spec.yaml", "resolved.yaml", "settings.json", "environment.json", "run.json", "plan.json", "summary.json",
        "data.npz", "data.manifest.json", "records", "members", "evaluations", "result.zarr",
        "opening.manifest.json", "result.manifest.json", "run.lock",
    }  # fmt: skip


def test_relative_paths_of_a_file_start_at_the_file(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "table.csv").write_text("a,b\n" + "\n".join(f"{n},{n % 4}" for n in range(20)))
    data = {"source": "csv", "path": "table.csv", "target": "b"}
    path = studies.write(quick(data=data), tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    assert structflow.run(path, "run").summary["status"] == "finished"


def test_news_of_progress(tmp_path):
    """Every task is told to be finished; training tells of steps before that."""
    news: list[Progress] = []
    structflow.run(quick(), tmp_path / "run", listener=news.append)
    assert [each.task for each in news if each.finished] == list(studies.plan_tasks(quick()))
    assert Progress("setting0-round0-batch0-stage0-train", 3) in news


def test_errors_are_the_library_s_own(tmp_path):
    with pytest.raises(SpecError, match="restarts"):
        structflow.run(quick(), tmp_path / "run", overrides=["optimizer.restart=2"])
    structflow.run(quick(), tmp_path / "run")
    with pytest.raises(CallError, match="another study"):
        structflow.run({**quick(), "seed": 1}, tmp_path / "run")
    with pytest.raises(CallError, match="not a run directory"):
        _ = structflow.Run(tmp_path / "nowhere").ranking


def test_held_out_rows_never_touch_the_choice(tmp_path):
    """Targets of the test rows, made absurd, change the test metrics and nothing else."""
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "a.npz", x=rows[:, :2], y=rows[:, 2])
    data = {"source": "npz", "path": str(tmp_path / "a.npz"), "split": {"test": 0.25}}
    first = structflow.run(quick(data=data), tmp_path / "a")
    held_out = first.context.study.dataset.test_rows
    changed = rows[:, 2].copy()
    changed[held_out] += 1000
    np.savez(tmp_path / "b.npz", x=rows[:, :2], y=changed)
    second = structflow.run(quick(data={**data, "path": str(tmp_path / "b.npz")}), tmp_path / "b")
    for one, other in zip(first.ranking, second.ranking, strict=True):
        assert one["metrics"]["test"] != other["metrics"]["test"]
        for entry in (one, other):
            del entry["metrics"]["test"]
        assert one == other


def test_predictions_of_a_linear_model_are_the_exact_ones(tmp_path):
    """y = Φw + ε with fixed noise s and precision a: w | y ~ N(Σ Φᵀy / s², Σ), Σ = (a I + ΦᵀΦ / s²)⁻¹.

    The predictive mean is φᵀμ and its variance s² + φᵀΣφ, in the units of a table that nothing standardises.
    """
    generator = np.random.default_rng(3)
    x = generator.normal(size=(25, 2))
    noise, precision = 0.5, 2.0
    y = x @ np.array([1.0, -2.0]) + 0.7 + noise * generator.normal(size=25)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    document = studies.spec(
        data={
            "source": "npz", "path": str(tmp_path / "table.npz"), "standardize": {"inputs": False, "targets": False}
        },
        model={
            **studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]),
            "likelihood": {"type": "gaussian", "noise": noise},
        },
        prior={"weights": {"precision": precision}},
        posterior={"weights": {"covariance": "full"}},
        optimizer={"inner": {"steps": 200}, "restarts": 1},
        compute={"compile": False, "dtype": "float64"},
    )  # fmt: skip
    run = structflow.run(document, tmp_path / "run")
    features = np.column_stack([x, np.ones(25)])
    covariance = np.linalg.inv(precision * np.eye(3) + features.T @ features / noise**2)
    mean = covariance @ features.T @ y / noise**2
    new = generator.normal(size=(6, 2))
    phi = np.column_stack([new, np.ones(6)])
    variance = noise**2 + np.einsum("ri,ij,rj->r", phi, covariance, phi)
    samples = 4000
    prediction = run.predict(new, samples=samples)
    spread = np.sqrt(variance - noise**2) / np.sqrt(samples)
    np.testing.assert_array_less(np.abs(prediction.mean[:, 0] - phi @ mean), 4 * spread)
    np.testing.assert_allclose(prediction.standard_deviation[:, 0], np.sqrt(variance), rtol=0.02)
    gram = noise**2 * np.eye(25) + features @ features.T / precision
    exact = -0.5 * (y @ np.linalg.solve(gram, y) + np.linalg.slogdet(2 * np.pi * gram)[1])
    assert run.ranking[0]["log_evidence"] == pytest.approx(exact, abs=1e-6)
    posterior = run.dataset["setting_0/posterior/structure_0"]
    np.testing.assert_allclose(posterior["x->y:linear.weight mean"].values[:, 0], mean[:2], rtol=1e-6)
    np.testing.assert_allclose(posterior["x->y:linear.bias sd"].values, np.sqrt(covariance[2, 2]), rtol=1e-6)


def test_evidence_is_in_the_target_s_units(tmp_path):
    """y in units a thousand times smaller: every density is a thousand times smaller, log p falls by 30 log 1000."""
    x = np.random.default_rng(0).normal(size=(30, 2))
    evidence = {}
    for unit in (1.0, 1000.0):
        np.savez(tmp_path / "table.npz", x=x, y=unit * (x[:, 0] + 0.1 * x[:, 1] ** 2))
        document = quick(data={"source": "npz", "path": str(tmp_path / "table.npz")})
        document["compute"] = {"compile": False, "dtype": "float64"}
        run = structflow.run(document, tmp_path / f"run{unit}")
        evidence[unit] = run.ranking[0]["log_evidence"], run.ranking[0]["metrics"]["train"]["rmse"]
    assert evidence[1000.0][0] == pytest.approx(evidence[1.0][0] - 30 * np.log(1000), abs=1e-6)
    assert evidence[1000.0][1] == pytest.approx(1000 * evidence[1.0][1])
