"""Opens a run directory for a study and carries its plan out; the same call continues an unfinished run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..data.stream import LOCATION
from ..errors import CallError, StorageError
from ..plan.plan import Plan, make_plan
from ..spec.render import render_spec
from ..spec.spec_hash import spec_hash
from ..spec.study import Study
from ..store.inspection import seal_opening
from ..store.run_directory import RunDirectory
from ..store.run_lock import LOCK, locked
from .context import open_context
from .executors import Place, Site, run_here, site_here
from .machine import environment
from .progress import Listener

OURS = (LOCK, "records", "attempts", "spec.yaml", "resolved.yaml")
"""What an opening that was interrupted may have left in a run directory, before its settings."""


def plan_study(study: Study, site: Site | None = None, threads: int | None = None) -> Plan:
    """The plan of a study for the place where it will run, by default this process, with its threads or others."""
    site = site or site_here(study.spec.compute.device)
    return make_plan(study, site.device, site.compiles, threads or site.threads)


def open_run(study: Study, path: Path, written: str | None, plan: Plan | None = None) -> tuple[RunDirectory, Plan]:
    """The run directory of a study with its plan: a new one, or the one that is there if it holds the same spec.

    `written` is the text of the spec file; `plan` is that of a new run, where it was made already. Raises `CallError`
    if the directory holds another study.
    """
    directory = RunDirectory(path)
    if directory.has("plan.json"):
        refuse_another_study(directory, study)
        note_location(directory, study)
        return directory, Plan.from_json(directory.read_json("plan.json"))
    refuse_foreign_folder(path)
    plan = plan or plan_study(study)
    directory.create()
    directory.write_text("spec.yaml", written if written is not None else render_spec(study.spec))
    directory.write_text("resolved.yaml", render_spec(study.spec))
    directory.write_json("settings.json", settings_as_json(study))
    directory.write_json("environment.json", environment())
    study.dataset.save(directory.data)
    note_location(directory, study)
    directory.write_json("run.json", {"spec_hash": spec_hash(study.spec), "data_digest": study.dataset.digest})
    directory.write_json("plan.json", plan.as_json())
    seal_opening(directory)
    return directory, plan


def note_location(directory: RunDirectory, study: Study) -> None:
    """Write where the rows of a table larger than memory are found now, for whoever does the tasks."""
    if study.dataset.stream is not None:
        directory.write_json(LOCATION, study.dataset.stream.location.as_json())


@contextmanager
def opened(
    study: Study, path: Path, written: str | None, site: Site | None = None
) -> Iterator[tuple[RunDirectory, Plan]]:
    """`open_run`, with the run directory held against other drivers for as long as it is open.

    Raises `StorageError` where another one holds it. A finished run isn't held: nothing is written there any more.
    """
    refuse_foreign_folder(path)
    directory = RunDirectory(path)
    if directory.has("summary.json"):
        yield open_run(study, path, written)
        return
    plan = None if directory.has("plan.json") else plan_study(study, site)  # what it refuses leaves nothing behind
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make the run directory {path}: {error.strerror or error}") from error
    with locked(path):
        yield open_run(study, path, written, plan)


def refuse_foreign_folder(path: Path) -> None:
    """Raise `CallError` where a run directory can't be, because something else is there."""
    if path.exists() and not path.is_dir():
        raise CallError(f"{path} is a file; expected a folder for the run: choose another with -o")
    if path.is_dir() and not RunDirectory(path).has("settings.json"):
        foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(".") and entry.name not in OURS]
        if foreign:
            raise CallError(f"{path} is not empty and not a run directory; choose another with -o")


def settings_as_json(study: Study) -> list[dict[str, Any]]:
    """The settings with the spec of every stage, as plain data; without `trackers`, which are the driver's own."""
    return [
        {
            "values": setting.values,
            "stages": [
                json.loads(stage.model_dump_json(by_alias=True, exclude={"trackers"})) for stage in setting.stages
            ],
        }
        for setting in study.settings
    ]


def refuse_another_study(directory: RunDirectory, study: Study) -> None:
    """Raise `CallError` naming what differs between the run's spec and data and the study's."""
    before = directory.read_json("settings.json")
    now = json.loads(json.dumps(settings_as_json(study)))
    same_data = directory.read_json("run.json")["data_digest"] == study.dataset.digest
    if same_data:  # whether `auto` or the spec said where the rows stay makes no difference then
        for stage in (stage for setting in (*before, *now) for stage in setting["stages"]):
            stage["data"].pop("stream", None)
    changes = differences(before, now)
    if not same_data:
        was, is_now = directory.has(LOCATION), study.dataset.stream is not None
        modes = {True: "read by minibatch (data.stream: true)", False: "held in memory (data.stream: false)"}
        changes.append(
            "the data: other values than when the run began"
            if was == is_now
            else f"the data: {modes[was]} → {modes[is_now]}, as `auto` goes by this machine's memory"
        )
    if changes:
        shown = "\n  ".join(changes[:10])
        raise CallError(
            f"{directory.path} holds a run of another study:\n  {shown}\nuse another directory (-o) or undo the change"
        )


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """`field: old → new` for every value that differs between two JSON values."""
    if isinstance(before, dict) and isinstance(now, dict):
        changes = []
        for key in sorted({*before, *now}):
            place = f"{path}.{key}" if path else str(key)
            changes += differences(before.get(key), now.get(key), place)
        return changes
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            change
            for index, (old, new) in enumerate(zip(before, now, strict=True))
            for change in differences(old, new, f"{path}[{index}]")
        ]
    return [] if before == now else [f"{path.removeprefix('[0].stages[0].')}: {shortened(before)} → {shortened(now)}"]


def shortened(value: Any) -> str:
    """JSON of a value, cut to a line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def carry_out(directory: RunDirectory, plan: Plan, place: Place | None, listener: Listener) -> float:
    """Do every task that has no record yet, at a place, by default in this process.

    Returns the seconds it took; of tasks that an earlier call did, the seconds of each.
    """
    open_context.cache_clear()
    earlier = [directory.record(task.name).seconds for task in plan.tasks() if directory.is_committed(task.name)]
    started = time.perf_counter()
    (run_here if place is None else place.carry_out)(directory, plan, listener)
    return time.perf_counter() - started + sum(seconds or 0.0 for seconds in earlier)
