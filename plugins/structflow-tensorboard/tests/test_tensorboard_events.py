"""What the event files say, read back with TensorBoard's own reader, is what the run found: equal as float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import structflow
from structflow.plan.tasks import Task
from structflow.results.read import structure_name
from structflow.results.run import Run
from structflow.runner import run_task
from structflow.runner.decided import stored_members
from structflow.store.records import SelectRecord, TrainRecord

SPEC = Path(__file__).parents[1] / "specs" / "tensorboard.yaml"
TERMS = ("log_likelihood", "kl_weights", "kl_structure")


def document(tracker: Any = "tensorboard", **sections: Any) -> dict[str, Any]:
    """Two activations and a skip, on 30 training rows, two restarts in batches of four: 8 members in two batches."""
    first = {
        "from": "x",
        "to": "h",
        "choose": "one",
        "basis": [{"type": "dense"}, {"type": "dense", "activation": "relu"}],
    }
    skip = {"from": "x", "to": "y", "choose": "any", "basis": [{"type": "linear", "name": "skip"}]}
    return {
        "name": "small",
        "data": {
            "source": "synthetic", "rows": 40, "inputs": 2, "formula": "tanh(x0)", "noise": 0.2, "split": {"test": 0.25}
        },
        "model": {
            "nodes": {"x": {}, "h": {"shape": [2]}, "y": {}},
            "edges": [first, {"from": "h", "to": "y", "basis": ["linear"]}, skip],
        },
        "optimizer": {"inner": {"steps": 12}, "restarts": 2},
        "evidence": {"samples": 16},
        "compute": {"compile": False, "members_per_batch": 4},
        "trackers": [tracker],
        **sections,
    }  # fmt: skip


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Path) -> dict[str, tuple[list[int], np.ndarray]]:
    """Steps and values of every curve of one event folder."""
    events = read(folder)
    curves = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {
        tag: ([point.step for point in points], np.array([point.value for point in points], dtype=np.float32))
        for tag, points in curves.items()
    }


def text(folder: Path, tag: str) -> str:
    (event,) = read(folder).Tensors(f"{tag}/text_summary")
    (value,) = event.tensor_proto.string_val
    return str(value.decode())


def folders(log: Path) -> set[Path]:
    """The event folders, relative to the log; each has one event file."""
    files = list(log.rglob("events.out.tfevents.*"))
    found = {file.parent.relative_to(log) for file in files}
    assert len(found) == len(files)
    return found


def members(run: Run, setting: int = 0) -> Iterator[tuple[str, str, int, xarray.Dataset]]:
    """Round, structure, restart and terms over steps of every member, from the results of the run."""
    for task in run.context.plan.tasks():
        if task.kind != "train" or task.setting != setting:
            continue
        round_name = run.context.plan.settings[setting].rounds[task.round].name
        for member in stored_members(run.context.directory, task):
            structure, arrays = member.candidate.structure, member.arrays
            name = "relaxed" if structure is None else structure_name(structure.as_dict())
            terms = {key: ("step", arrays[f"trajectory/{key}"]) for key in TERMS}
            steps = {"step": arrays["trajectory/steps"]}
            yield round_name, name, member.candidate.restart, xarray.Dataset(terms, steps)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return structflow.run(document(), tmp_path_factory.mktemp("tensorboard") / "run")


def test_every_curve_is_that_of_the_run(run: Run) -> None:
    log = run.path / "tensorboard"
    expected = set()
    for round_name, name, restart, terms in members(run):
        expected.add(Path(round_name, name, f"restart{restart}"))
        found = scalars(log / round_name / name / f"restart{restart}")
        steps = terms["step"].values.tolist()
        assert steps == list(range(12))
        bound = terms["log_likelihood"] - terms["kl_weights"] - terms["kl_structure"]
        assert found["bound"][0] == found["terms/kl_weights"][0] == steps
        np.testing.assert_array_equal(found["bound"][1], bound.values.astype(np.float32))
        for key in ("log_likelihood", "kl_weights"):
            np.testing.assert_array_equal(found[f"terms/{key}"][1], terms[key].values.astype(np.float32))
        assert set(found) == {"bound", "score", "terms/log_likelihood", "terms/kl_weights"}
        assert found["score"][0] == [11]
    assert len(expected) == 8
    assert folders(log) == expected | {Path()}


def test_scores_are_those_that_restarts_are_picked_by(run: Run) -> None:
    for item in run.context.directory.read("setting0-select", SelectRecord).structures:
        for restart, score in enumerate(item.scores):
            found = scalars(
                run.path / "tensorboard" / "enumerate" / structure_name(item.structure) / f"restart{restart}"
            )
            np.testing.assert_array_equal(found["score"][1], np.float32([score]))


def test_the_ranking_is_a_table(run: Run) -> None:
    lines = text(run.path / "tensorboard", "ranking").split("\n")
    assert lines[0].startswith(
        "| rank | structure | evidence | standard error | probability | agreement | train rmse |"
    )
    assert len(lines) == 2 + 4
    best = run.ranking[0]
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:3] == ["1", f"`{structure_name(best['structure'])}`", f"{best['score']:.2f}"]
    assert cells[4] == f"{best['probability']:.3f}"
    assert "    name: small\n" in text(run.path / "tensorboard", "spec")


def test_the_spec_runs_and_relaxed_members_have_the_probabilities_of_functions(tmp_path: Path) -> None:
    """Of 4 activations and a skip connection, in a run of 5 steps."""
    small = ["optimizer.inner.steps=5", "optimizer.restarts=2", "evidence.samples=4", "compute.compile=false"]
    run = structflow.run(SPEC, tmp_path / "run", overrides=small)
    assert run.summary["status"] == "finished"
    record = run.context.directory.read("setting0-round0-batch0-stage0-train", TrainRecord)
    for restart, edges in enumerate(member.probabilities or {} for member in record.members):
        found = scalars(run.path / "tensorboard" / "relax" / "relaxed" / f"restart{restart}")
        chances = {
            f"probability {edge}/{function}": chance
            for edge, functions in edges.items()
            for function, chance in functions.items()
        }
        assert len(chances) == 5
        assert chances["probability x->y/skip"] == edges["x->y"]["skip"]
        for tag, chance in chances.items():
            assert found[tag][0] == [4]
            np.testing.assert_array_equal(found[tag][1], np.float32([chance]))
        assert "terms/kl_structure" in found


def test_a_continued_run_has_every_point_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after a batch, the log has that batch; continued, it is that of a run in one go."""
    really = run_task.train_batch
    done: list[Any] = []

    def fail_in_second(*arguments: Any) -> Any:
        if done:
            raise RuntimeError("power failure")
        done.append(arguments)
        return really(*arguments)

    log = tmp_path / "run" / "tensorboard"
    with monkeypatch.context() as patch:
        patch.setattr(run_task, "train_batch", fail_in_second)
        with pytest.raises(RuntimeError, match="power failure"):
            structflow.run(document(), tmp_path / "run")
    assert len(folders(log)) == 4
    structflow.run(document(), tmp_path / "run")
    assert folders(log) == folders(run.path / "tensorboard")
    for folder in folders(log) - {Path()}:
        ours, theirs = scalars(log / folder), scalars(run.path / "tensorboard" / folder)
        assert set(ours) == set(theirs)
        for tag in ours:
            assert ours[tag][0] == theirs[tag][0]
            np.testing.assert_array_equal(ours[tag][1], theirs[tag][1])


def test_stages_go_on_where_the_one_before_ended(tmp_path: Path) -> None:
    """12 steps and then 5; of them every fourth and each stage's last; the best 3 members of each batch of 4."""
    tracker = {"type": "tensorboard", "every": 4, "members": 3, "folder": "../logs"}
    stages = [{}, {"optimizer.inner.steps": 5}]
    run = structflow.run(document(tracker, stages=stages), tmp_path / "run")
    log = tmp_path / "logs" / "run"
    assert not (run.path / "tensorboard").exists()
    found = folders(log) - {Path()}
    assert len(found) == 2 * 3
    for folder in found:
        assert scalars(log / folder)["bound"][0] == [0, 4, 8, 11, 12, 16]
        assert scalars(log / folder)["score"][0] == [16]
    written = {str(folder) for folder in found}
    for slot in (0, 1):
        members = stored_members(run.context.directory, Task("train", 0, 0, 1, slot))
        worst = min(members, key=lambda member: member.found.score)
        for member in members:
            name = structure_name(member.candidate.structure.as_dict())
            folder = f"enumerate/{name}/restart{member.candidate.restart}"
            assert (folder in written) == (member is not worst)


def test_a_sweep_has_a_folder_and_hparams_for_each_setting(tmp_path: Path) -> None:
    sweep = [{"prior.weights.precision": [0.5, "shared"]}]
    small = {"inner": {"steps": 3}, "restarts": 1}
    run = structflow.run(document(sweep=sweep, optimizer=small), tmp_path / "run")
    log = run.path / "tensorboard"
    names = ["setting0 prior.weights.precision 0.5", "setting1 prior.weights.precision shared"]
    assert {folder.parts[0] for folder in folders(log)} == set(names)
    for name, setting in zip(names, run.summary["settings"], strict=True):
        events = read(log / name)
        assert "_hparams_/session_start_info" in events.summary_metadata
        (score,) = events.Scalars("best/score")
        assert np.float32(score.value) == np.float32(setting["ranking"][0]["score"])
        assert structure_name(setting["ranking"][0]["structure"]) in text(log / name, "ranking")
    assert text(log / names[1], "setting") == '- `prior.weights.precision`: "shared"'


@pytest.mark.thorough
def test_workers_write_the_same(run: Run, tmp_path: Path) -> None:
    there = structflow.run(document(), tmp_path / "run", workers=1)
    assert folders(there.path / "tensorboard") == folders(run.path / "tensorboard")
    for folder in folders(there.path / "tensorboard") - {Path()}:
        ours, theirs = (scalars(each.path / "tensorboard" / folder)["bound"][1] for each in (run, there))
        np.testing.assert_array_equal(ours, theirs)


def test_a_log_that_cannot_be_written_harms_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file")
    tracker = {"type": "tensorboard", "folder": str(tmp_path / "taken")}
    small = {"inner": {"steps": 3}, "restarts": 1}
    run = structflow.run(document(tracker, optimizer=small), tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert "warning: tracker 'tensorboard' of package structflow-tensorboard is left out" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "a file"
