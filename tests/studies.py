"""Small studies that run in a second or two, and ways to run and compare them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray
import yaml

import structflow
from structflow.plan.plan import Plan, make_plan
from structflow.results.run import Run
from structflow.runner.decided import StoredMember, stored_members
from structflow.spec.load import study_from_mapping
from structflow.spec.study import Study
from structflow.store.digest import digest_of_json
from structflow.store.inspection import seal_start
from structflow.store.records import Evaluation
from structflow.store.run_directory import RunDirectory, without_nan

EDGE = {"from": "x", "to": "h", "choose": "one", "basis": [{"type": "dense"}, {"type": "dense", "activation": "relu"}]}
LAST = {"from": "h", "to": "y", "basis": ["linear"]}
SKIP = {"from": "x", "to": "y", "choose": "any", "basis": [{"type": "linear", "name": "skip"}]}


def spec(**sections: Any) -> dict[str, Any]:
    """Two activations of one width on 30 training rows, two restarts; sections replace those of this spec."""
    return {
        "structflow": 1,
        "name": "small",
        "data": {
            "source": "synthetic", "rows": 40, "inputs": 2, "formula": "tanh(x0)", "noise": 0.2, "split": {"test": 0.25}
        },
        "model": {"nodes": {"x": {}, "h": {"shape": [2]}, "y": {}}, "edges": [EDGE, LAST]},
        "optimizer": {"inner": {"steps": 30}, "restarts": 2},
        "evidence": {"samples": 16},
        "compute": {"compile": False},
        **sections,
    }  # fmt: skip


def model(edges: list[dict[str, Any]], **nodes: Any) -> dict[str, Any]:
    """The section `model` with these edges, and nodes beside x and y."""
    return {"nodes": {"x": {}, **nodes, "y": {}}, "edges": edges}


def wide() -> dict[str, Any]:
    """Activation × width × skip connection: eight structures in two groups of shapes, cut into six batches."""
    return spec(
        model=model([EDGE, LAST, SKIP], h={"shape": {"choose": [[2], [3]]}}),
        optimizer={"inner": {"steps": 30}, "restarts": 3},
        compute={"compile": False, "members_per_batch": 4},
    )


def study(document: Mapping[str, Any]) -> Study:
    return study_from_mapping(document, Path.cwd())


def plan(document: Mapping[str, Any]) -> Plan:
    return make_plan(study(document), "cpu", True, 1)


def run(document: Mapping[str, Any], directory: Path, **options: Any) -> Run:
    return structflow.run(document, directory, **options)


def write(document: Mapping[str, Any], folder: Path, name: str = "spec.yaml") -> Path:
    """The spec as a file."""
    path = folder / name
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
    return path


def records(directory: Path) -> dict[str, dict[str, Any]]:
    """All commit records of a run by task."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (directory / "records").glob("*.json")}


def trained(run: Run, task: str = "setting0-round0-batch0-stage0-train") -> list[StoredMember]:
    """The members that a training task trained."""
    return stored_members(run.context.directory, run.context.plan.by_name[task])


def arrays(run: Run, task: str = "setting0-round0-batch0-stage0-train") -> dict[str, np.ndarray]:
    """Their arrays, those that all of them have: parameters (M, …), curves (P, M), and the steps of these (P,)."""
    own = [each.arrays for each in trained(run, task)]
    found = {}
    for name in own[0]:
        if all(name in each for each in own):
            rows = [each[name] for each in own]
            shared = name in ("trajectory/steps", "outer/step")
            found[name] = rows[0] if shared else np.stack(rows, axis=0 if name.startswith("parameter/") else -1)
    return found


def digests(directory: Path) -> dict[str, str]:
    """The digest of what every task found."""
    return {task: record["digest"] for task, record in records(directory).items()}


def result_digests(directory: Path) -> dict[str, str]:
    """The digest of every array of the public results, but of how long things took; and of the ranking."""
    found = {}
    with xarray.open_datatree(directory / "result.zarr", engine="zarr") as tree:
        for node in tree.subtree:
            for name, array in node.variables.items():
                if "seconds" not in str(name):
                    found[f"{node.path}/{name}"] = digest_of_json(without_nan(array.values.tolist()))
    ranking = json.loads((directory / "summary.json").read_text(encoding="utf-8"))["ranking"]
    return {**found, "ranking": digest_of_json(ranking)}


def seal(directory: Path) -> None:
    """Write the manifest of a run's opened files anew: they were meant to be changed."""
    seal_start(RunDirectory(directory), (directory / "plan.json").read_text(encoding="utf-8"))


def hear_interrupts() -> None:
    """In a process about to begin: SIGINT as in a terminal, also where the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(*arguments: Any) -> list[str]:
    """The installed command, as a user starts it."""
    return [str(Path(sys.executable).with_name("structflow")), *map(str, arguments)]


def call(*arguments: Any, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def plan_tasks(document: Mapping[str, Any]) -> list[str]:
    """Names of the tasks in the order that a run in one process does them."""
    return [task.name for task in plan(document).tasks()]


def evaluation(structure: Mapping[str, Any], **found: Any) -> Evaluation:
    """What is found of a structure: the given fields, and nothing else."""
    numbers = ("c_param", "c_struct", "c_struct_differential", "relative_density")
    numbers += ("score", "score_se", "log_evidence", "log_evidence_se")
    by_name = ("evidence", "evidence_se", "evidence_missing", "evidence_unsure", "evidence_raised")
    by_name += ("q_probability", "hyperparameters", "metrics", "robustness")
    nothing = {**dict.fromkeys(numbers), **{name: {} for name in by_name}}
    return Evaluation(**{"structure": structure, "restart": 0, **nothing, **found})
