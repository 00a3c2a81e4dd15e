"""Runs on tables that are read by minibatch: against the same table in memory, continued, refused."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
import torch
import yaml
import zarr

from structflow.errors import CallError, SpecError
from structflow.evidence.row_sampling import row_sampling_error
from structflow.evidence.trained import TrainedPopulation
from structflow.report.text import estimated_rows
from structflow.results.prediction import mixture_of
from structflow.results.summary import summarise
from structflow.runner.context import RunContext, open_context
from structflow.runner.driver import carry_out, open_run
from structflow.runner.evaluate import load_evaluated
from structflow.runner.run_task import run_task
from structflow.spec.load import load_study, study_from_mapping
from structflow.store.array_file import load_arrays
from structflow.store.own_folder import OwnFolder
from structflow.train.minibatch_stream import MinibatchStream

ROWS = 600
GENERATOR = np.random.default_rng(2)
X = GENERATOR.standard_normal((ROWS, 2))
Y = np.tanh(2 * X[:, 0]) + 0.2 * GENERATOR.standard_normal(ROWS)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table in chunks of 50 rows, which are read one by one."""
    monkeypatch.setattr("structflow.builtin.data_sources.zarr.LEAST_CHUNK", 1)
    store(tmp_path / "t.zarr")
    return tmp_path / "t.zarr"


def store(path: Path, y: np.ndarray = Y) -> None:
    group = zarr.open_group(path, mode="w")
    for name, values in (("x", X), ("y", y)):
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(50, *values.shape[1:]))[...] = values


def spec(table: Path, stream: bool | str = True, inner: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    return studies.spec(
        data={"source": "zarr", "path": str(table), "stream": stream, **data},
        optimizer={"inner": {"steps": 40, "lr": 0.05, "batch_size": 60, **(inner or {})}, "restarts": 1},
        evidence={"samples": 64},
    )


@dataclass(frozen=True)
class Carried:
    """A study that was carried out, and what `show` would tell, without the public results."""

    context: RunContext
    summary: dict[str, Any]

    @property
    def ranking(self) -> list[dict[str, Any]]:
        return self.summary["ranking"]


def run(document: dict[str, Any], path: Path) -> Carried:
    """Begin a run, or go on with it."""
    opened = study_from_mapping(document, Path.cwd(), run=path)
    begun = open_run(opened, path, None)
    carry_out(begun, lambda progress: None)
    context = open_context(str(path.resolve()))
    return Carried(context, summarise(context, 0.0))


def linear(table: Path, stream: bool, **data: Any) -> dict[str, Any]:
    """A linear model with everything fixed, which starts at its exact posterior: evidence without training noise."""
    document = spec(table, stream, {"steps": 1, "lr": 1e-9}, **data)
    likelihood = {"type": "gaussian", "noise": 0.5}
    document["model"] = {"likelihood": likelihood, "edges": [{"from": "x", "to": "y", "basis": ["linear"]}]}
    document["prior"] = {"weights": {"precision": 1.0}}
    document["posterior"] = {"weights": {"covariance": "full"}}
    return document


def test_streamed_and_in_memory_rank_alike(table, tmp_path):
    """All rows are in the sample, so that the two differ by the order of their minibatches alone.

    Both start at the posterior of the noise they start with, which 60 steps then learn in whitened coordinates: bounds
    have a closed form, no error of sampling, and are within a nat, where the cubic leads the line by tens of nats.
    """
    functions = ["linear", {"type": "polynomial", "degree": 3}]
    found = []
    for stream in (False, True):
        document = linear(table, stream)
        document["model"] = {"edges": [{"from": "x", "to": "y", "choose": "one", "basis": functions}]}
        document["optimizer"]["inner"] = {"steps": 60, "lr": 0.01, "batch_size": 60}
        found.append(run(document, tmp_path / f"{stream}").ranking)
    memory, streamed = found
    assert [entry["structure"] for entry in streamed] == [entry["structure"] for entry in memory]
    assert memory[0]["log_evidence"] - memory[1]["log_evidence"] > 20
    for one, other in zip(memory, streamed, strict=True):
        error = math.hypot(one["log_evidence_se"], other["log_evidence_se"])
        assert abs(one["log_evidence"] - other["log_evidence"]) < 3 * error + 1


def test_evidence_on_samples_is_within_its_error_of_that_on_all_rows(table, tmp_path):
    """The bound of a linear model has a closed form; 300 samples of 150 of 600 rows err by what is stated.

    z = (estimate − bound on all rows) / standard error has mean 0 ± 5/√300 and mean square 1 ± 5 √(2/300).
    """
    carried = run(linear(table, True), tmp_path / "run")
    trained = next(load_evaluated(carried.context, 0)).trained
    whole = next(trained.sample_terms(1, "test")).bound[0, 0]
    assert carried.ranking[0]["log_evidence_se"] == 0
    scores = []
    for seed in range(300):
        rows = torch.from_numpy(np.random.default_rng(seed).permutation(ROWS)[:150])
        part = replace(trained, x=trained.x[rows], y=trained.y[rows], row_weight=4.0)
        estimate = next(part.sample_terms(1, "test")).bound[0, 0]
        error = row_sampling_error(part.row_log_likelihood(1, "test").numpy(), ROWS)
        scores.append(float(estimate - whole) / float(error[0]))
    assert abs(np.mean(scores)) < 5 / 300**0.5
    assert abs(np.mean(np.square(scores)) - 1) < 5 * (2 / 300) ** 0.5


def test_the_error_of_sampling_rows_is_that_of_drawing_without_replacement():
    """All C(6, 3) samples of 6 values: their sums, weighted N/n, have the variance whose mean estimate this is."""
    values = np.array([0.3, -1.0, 2.0, 0.5, 0.1, -0.7])
    samples = np.array(list(combinations(values, 3)))
    assert np.mean(row_sampling_error(samples, 6) ** 2) == pytest.approx(np.var(6 / 3 * samples.sum(1)), rel=1e-12)
    assert row_sampling_error(values, 6) == 0


def test_a_sample_stands_for_all_rows(table, tmp_path):
    """Terms of the bound count each of 150 rows 4 times: as if it stood four times in a table in memory."""
    carried = run(spec(table, sample_rows=150), tmp_path / "run")
    context = carried.context
    evaluated = next(load_evaluated(context, 0))
    trained = evaluated.trained
    assert (trained.row_weight, trained.rows) == (4.0, 600)
    x, y = (value.repeat(4, *[1] * (value.ndim - 1)) for value in (trained.x, trained.y))
    repeated = TrainedPopulation(trained.bound, trained.parameters, trained.keys, x, y, trained.c_temp)
    for one, other in zip(trained.sample_terms(3, "test"), repeated.sample_terms(3, "test"), strict=True):
        torch.testing.assert_close(one.bound, other.bound, rtol=1e-12, atol=1e-9)
    w = trained.weights.draws(3, "test")
    torch.testing.assert_close(
        trained.weights.log_likelihood(w), repeated.weights.log_likelihood(w), rtol=1e-12, atol=0
    )
    by_row = np.stack([own["rows/log_likelihood"] for own in context.directory.evaluations.arrays(evaluated.keys)])
    terms = torch.cat([part.log_likelihood for part in trained.sample_terms(64, "rows")], dim=1).mean(1)
    np.testing.assert_allclose(4 * by_row.sum(1), terms.numpy(), rtol=1e-12)


def test_a_run_says_on_how_many_rows_it_was_estimated_and_holds_no_others(table, tmp_path):
    carried = run(spec(table, sample_rows=150, split={"test": 0.25}), tmp_path / "run")
    sampled = {"train": 150, "test": 150}
    assert dict(carried.summary.rows) == {"train": 450, "test": 150, "estimated_on": sampled}
    stored, _ = load_arrays(OwnFolder(tmp_path / "run"), "data.npz")
    assert stored["inputs"].shape == (300, 2)
    shown = estimated_rows(carried.summary["rows"])
    assert shown == "evidence and metrics are estimated on 150 of 450 training rows, test metrics on 150 of 150"
    assert np.isfinite(mixture_of(carried.context, carried.ranking).predict(X[:5], 8).mean).all()


class Killed(BaseException):
    """Stands for the end of a process, which is no error of a member."""


def test_continuing_from_a_checkpoint_gives_the_same_numbers(table, tmp_path, monkeypatch):
    """A run that ends at step 27 and goes on from its checkpoint commits the digests of one that never stopped."""
    document = spec(table, sample_rows=150)
    document["compute"] = {"compile": False, "checkpoint_seconds": 0}
    run(document, tmp_path / "whole")
    at, asked = MinibatchStream.at, []

    def until(self: MinibatchStream, step: int) -> Any:
        if step == 27:
            raise Killed
        return at(self, step)

    monkeypatch.setattr(MinibatchStream, "at", until)
    with pytest.raises(Killed):
        run(document, tmp_path / "broken")
    monkeypatch.setattr(MinibatchStream, "at", lambda self, step: asked.append(step) or at(self, step))
    monkeypatch.setattr("structflow.data.read.open_stream", None)  # the source is unchanged: no second pass
    run(document, tmp_path / "broken")
    assert 0 < min(asked) <= 27
    assert studies.digests(tmp_path / "broken") == studies.digests(tmp_path / "whole")


def test_continuing_refuses_other_content_and_accepts_a_copy(table, tmp_path):
    """A copy has other times, so that the table is passed over again, and the same values."""
    document = spec(table)
    run(document, tmp_path / "run")
    shutil.copytree(table, tmp_path / "copy")
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "copy", table, copy_function=shutil.copyfile)
    before = json.loads((tmp_path / "run" / "source.json").read_text())
    run(document, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "source.json").read_text())["fingerprint"] != before["fingerprint"]
    store(table, Y + 1e-9)
    with pytest.raises(CallError, match="the data: other values than when the run began"):
        run(document, tmp_path / "run")


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_table_that_has_moved_is_the_same(table, tmp_path, restarts):
    """Interrupted after its first task, a run goes on, or is extended, with the table at another path."""
    document = spec(table)
    study = study_from_mapping(document, Path.cwd())
    open_run(study, tmp_path / "run", None)
    run_task(str(tmp_path / "run"), "setting0-round0-decide", [])
    shutil.move(table, tmp_path / "moved.zarr")
    document["data"]["path"] = str(tmp_path / "moved.zarr")
    document["optimizer"]["restarts"] = restarts
    moved = run(document, tmp_path / "run")
    location = json.loads((tmp_path / "run" / "source.json").read_text())
    assert location["options"]["path"] == document["data"]["path"]
    shutil.copytree(tmp_path / "moved.zarr", table)
    document["data"]["path"] = str(table)
    whole = run(document, tmp_path / "whole")
    assert [entry["score"] for entry in moved.ranking] == [entry["score"] for entry in whole.ranking]


def test_what_auto_decided_can_be_written_out(table, tmp_path, monkeypatch):
    """On a machine where `auto` decides otherwise the message says what to set, and setting it goes on."""
    document = spec(table, "auto")
    monkeypatch.setattr("structflow.data.opening.memory_limit", lambda: 1000)
    run(document, tmp_path / "run")
    monkeypatch.setattr("structflow.data.opening.memory_limit", lambda: 10**9)
    with pytest.raises(CallError, match=r"read by minibatch \(data.stream: true\) → held in memory"):
        run(document, tmp_path / "run")
    run(spec(table, True), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        ({"optimizer": {"inner": {"steps": 5}}}, 2, "optimizer.inner.batch_size: is not given"),
        (
            {"objective": {"preset": "hold_out"}, "prior": {"weights": {"precision": 1.0}}},
            2,
            "objective.preset: got hold_out",
        ),
    ],
)
def test_what_a_streamed_table_can_not_be_used_for(table, tmp_path, change, line, message):
    document = {**change, **{key: value for key, value in spec(table).items() if key not in change}}
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        load_study(file)
    assert line is None or [problem.line for problem in caught.value.problems] == [line]


def test_a_hypergradient_follows_the_minibatches_back(table, tmp_path):
    """Twice in six steps, the last time over the end of a buffer; Q takes the sample as all rows."""
    document = spec(table, True, {"type": "sgd", "lr": 1e-4, "steps": 6}, sample_rows=150)
    document["model"] = {"edges": [{"from": "x", "to": "y", "basis": ["dense"]}]}
    document["optimizer"]["outer"] = {"type": "drmad", "every": 3}
    (entry,) = run(document, tmp_path / "run").ranking
    assert math.isfinite(entry["log_evidence"])


def benchmark() -> Any:
    """The script of docs/benchmarks.md."""
    path = Path(__file__).parents[2] / "docs" / "benchmarks" / "out_of_core.py"
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("out_of_core", path))
    module.__spec__.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path):
    """0.4 and 1.6 GB: the second takes 0.8 GB more in double precision alone if a quarter of it were held."""
    script, peaks = benchmark(), []
    for gigabytes in (0.4, 1.6):
        script.make_table(tmp_path / f"{gigabytes}.zarr", round(gigabytes * 1e9 / 400))
        peaks.append(script.measured(tmp_path / f"{gigabytes}.zarr", tmp_path / f"run{gigabytes}", 50)["peak_mib"])
    assert peaks[1] - peaks[0] < 300
    assert peaks[1] < 2000
