"""A loop that goes on from a checkpoint ends with the very numbers of one that never stopped."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import studies
import torch

from structflow.errors import StorageError
from structflow.runner.context import open_context
from structflow.runner.decided import decided_batch
from structflow.runner.interruption import COST, TimedCheckpoints
from structflow.runner.run_task import run_task
from structflow.runner.train import trained_here
from structflow.store.array_file import load_arrays
from structflow.store.checkpoint_slots import CheckpointSlots
from structflow.store.run_directory import RunDirectory

TASK = "setting0-round0-batch0-stage0-train"
STEPS = 23


class StoppedError(Exception):
    """Raised where the loop is to end."""


class EveryStep:
    """Keeps a checkpoint after every step in memory, and ends the loop after some."""

    def __init__(self, start=None, stop_after: int | None = None):
        self.start = start
        self.stop_after = stop_after
        self.kept: dict[int, dict[str, np.ndarray]] = {}

    def load(self):
        return self.start

    def is_due(self, step, steps):
        return True

    def save(self, step, arrays):
        self.kept[step] = {name: value.copy() for name, value in arrays.items()}
        if step == self.stop_after:
            raise StoppedError


def opened(tmp_path: Path, **sections):
    """A run that is opened, with its rounds decided, and the task of its first batch."""
    from structflow.runner.driver import open_run

    inner = {"steps": STEPS, **sections.pop("inner", {})}
    optimizer = {"inner": inner, "restarts": 2, **sections.pop("optimizer", {})}
    begun = open_run(studies.study(studies.spec(optimizer=optimizer, **sections)), tmp_path / "run", None)
    run_task(str(begun.directory.path), "setting0-round0-decide", [])
    context = open_context(str(begun.directory.path))
    return context, next(task for task in begun.plan.tasks() if task.name == TASK)


METHODS = {
    "adam": {},
    "minibatches": {"inner": {"batch_size": 7}},
    "relaxed": {"regime": {"type": "evidence"}},
    "momentum": {"inner": {"type": "sgd", "momentum": 0.5, "lr": 0.001}},
    "hoag": {"optimizer": {"outer": {"type": "hoag", "every": 4}}},
    "whitened": {
        "model": studies.model([{"from": "x", "to": "y", "basis": ["linear"]}]),
        "prior": {"weights": {"precision": "per_parameter", "start_range": [0.1, 1000.0]}},
        "inner": {"steps": 60, "type": "sgd", "momentum": 0.5, "lr": 0.1},
        "optimizer": {"outer": {"type": "hoag", "every": 2, "rate": 0.5}},
    },
    "drmad": {
        "inner": {"type": "sgd", "momentum": 0.5, "lr": 0.001},
        "optimizer": {"outer": {"type": "drmad", "every": 4}},
    },
}


LONG = {"hoag", "whitened", "drmad"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] * (name in LONG)) for name in METHODS]
)
def test_from_any_step_to_the_very_same_end(tmp_path, name):
    """All that is kept, bit for bit, when stopped after step 1, between and at hypergradients, and the last step."""
    context, task = opened(tmp_path, **METHODS[name])
    undisturbed = EveryStep()
    batch = decided_batch(context.directory, task).batch
    whole = trained_here(context, task, batch, {}, None, undisturbed)
    steps = METHODS[name].get("inner", {}).get("steps", STEPS)
    assert set(undisturbed.kept) == set(range(1, steps + 1))
    for stop in (1, 6, 8, steps - 5, steps):
        first = EveryStep(stop_after=stop)
        with pytest.raises(StoppedError):
            trained_here(context, task, batch, {}, None, first)
        again = trained_here(context, task, batch, {}, None, EveryStep(start=first.kept[stop]))
        for member, values in whole.items():
            assert again[member].convergence == values.convergence
            assert again[member].diverged_at == values.diverged_at
            assert set(again[member].arrays) == set(values.arrays)
            for key, value in values.arrays.items():
                np.testing.assert_array_equal(again[member].arrays[key], value, err_msg=f"{key} after {stop}")


def test_the_newest_whole_checkpoint_counts(tmp_path):
    """Two are kept; a damaged one is passed over for the one before; none is no checkpoint."""
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    slots = CheckpointSlots(directory, "task")
    assert slots.newest() is None
    for step in (5, 10, 15):
        slots.save(step, {"step": np.array(step), "state": np.full(4, float(step))})
    assert [path.stem[-2:] for path in sorted(slots.folder.iterdir())] == ["10", "15"]
    assert slots.newest()["step"] == 15
    newest = slots.folder / "step-000000000015.npz"
    content = newest.read_bytes()
    for damaged in (content[:-1], content[:200] + bytes([content[200] ^ 1]) + content[201:], b""):
        newest.write_bytes(damaged)
        assert slots.newest()["step"] == 10
    slots.remove()
    assert slots.newest() is None


def test_a_pickle_is_no_checkpoint(tmp_path):
    """Fault 21: what torch.save wrote is refused by its format, and nothing in it runs."""
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    slots = CheckpointSlots(directory, "task")
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return Path.touch, (ran,)

    slots.folder.mkdir(parents=True)
    torch.save({"state": Trap()}, slots.folder / "step-000000000005.npz")
    np.savez(slots.folder / "step-000000000006.npz", state=np.array([Trap()], dtype=object))
    assert slots.newest() is None
    for step in (5, 6):  # both are ZIP archives
        with pytest.raises(StorageError, match="can't be read as arrays"):
            load_arrays(slots.files, f"step-{step:012d}.npz")
    assert not ran.exists()


def test_checkpoints_keep_to_their_share_of_time(tmp_path):
    """Every 10 s; where a save takes 1 s, then at least 50 s later, so that they take at most 2 %."""
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    now = [0.0]

    class SlowSlots(CheckpointSlots):
        def save(self, step, arrays):
            now[0] += 1.0

    timed = TimedCheckpoints(SlowSlots(directory, "task"), 10.0, lambda: now[0])
    due = []
    for step in range(1, 400):
        now[0] += 1.0
        if timed.is_due(step, 400):
            due.append(now[0])
            timed.save(step, {})
    assert due[0] == 10.0
    assert {later - earlier for earlier, later in itertools.pairwise(due)} == {COST + 1.0}
