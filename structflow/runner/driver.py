"""Opens a run directory for a study and carries its plan out; the same call continues an unfinished run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CallError, StorageError
from ..plan.plan import Plan, make_plan
from ..spec.render import render_spec
from ..spec.spec_hash import spec_hash
from ..spec.study import Study
from ..store.inspection import refuse_damaged_results, seal_opening
from ..store.names import (
    ATTEMPTS,
    LOCATION,
    LOCK,
    PLAN,
    RECORDS,
    RUN,
    SETTINGS,
    SUMMARY,
)
from ..store.openings import earlier_openings, is_set_aside, set_aside
from ..store.run_directory import RunDirectory, json_text
from ..store.run_lock import locked
from .changes import SENTENCE, Changes, changes_of, spec_as_json
from .executors import Place, Site, run_here, site_here
from .machine import environment
from .progress import Listener

OURS = (LOCK, RECORDS, ATTEMPTS, "spec.yaml", "resolved.yaml")
"""What a start that was interrupted may have left in a run directory, before its settings."""


def plan_study(
    study: Study, site: Site | None = None, threads: int | None = None, earlier: RunDirectory | None = None
) -> Plan:
    """The plan of a study for the place where it will run, by default this process, with its threads or others.

    Where it extends an `earlier` revision, tasks run as they did there, and each batch is of what is known alike.
    """
    site = site or site_here(study.spec.compute.device)
    threads = threads or site.threads
    if earlier is None:
        return make_plan(study, site.device, site.compiles, threads)
    execution = Plan.from_json(earlier.read_opened(PLAN)).execution
    if execution.device != site.device:
        raise CallError(
            f"the run was trained on {execution.device}, and here is {site.device}: extend it where it was begun, or "
            "use another directory (-o)"
        )
    if execution.compile and not site.compiles:
        raise CallError("the run was trained by compiled programs, and there is no C++ compiler here: install one")
    return make_plan(study, site.device, site.compiles, threads, execution)


def open_run(study: Study, path: Path, written: str | None, plan: Plan | None = None) -> tuple[RunDirectory, Plan]:
    """The run directory of a study with its plan: a new one, or the one that is there if it holds the same spec.

    A run of a spec that this one extends is archived, and the extension started in its place. `written` is the text of
    the spec file; `plan` is that of a new run, where it was made already. Raises `CallError` if the directory holds
    another study.
    """
    directory = RunDirectory(path)
    earlier = newest_opening(directory)
    changes = Changes("none") if earlier is None else refuse_another_study(earlier, study)
    if earlier == directory and changes.kind != "extension":
        note_location(directory, study)
        return directory, Plan.from_json(directory.read_opened(PLAN))
    refuse_foreign_folder(path)
    plan = plan or plan_study(study, earlier=earlier)
    set_aside(directory)
    directory.create()
    directory.write_text("spec.yaml", written if written is not None else render_spec(study.spec))
    directory.write_text("resolved.yaml", render_spec(study.spec))
    directory.write_json(SETTINGS, settings_as_json(study))
    directory.write_json("environment.json", environment())
    if earlier is None:
        study.dataset.save(directory.data)
    note_location(directory, study)
    directory.write_json(RUN, run_as_json(study, changes))
    text = json_text(plan.as_json())
    seal_opening(directory, text)
    directory.write_text(PLAN, text)
    return directory, plan


def newest_opening(directory: RunDirectory) -> RunDirectory | None:
    """What a run directory was started with last, which may be archived already; None where nothing was."""
    if directory.has(PLAN):
        return directory
    return next((opening for opening in earlier_openings(directory) if opening.has(PLAN)), None)


def run_as_json(study: Study, changes: Changes) -> dict[str, Any]:
    """What identifies a revision, and how its spec differs from that of the revision before."""
    return {
        "spec_hash": spec_hash(study.spec),
        "data_digest": study.dataset.digest,
        "spec": spec_as_json(study.spec),
        "extended_by": list(changes.lines),
    }


def is_done(study: Study, path: Path) -> bool:
    """Whether a directory holds the finished run of a study; raises `CallError` if it is of another one."""
    directory = RunDirectory(path)
    if not (directory.has(PLAN) and directory.has(SUMMARY)):
        return False
    return refuse_another_study(directory, study).kind != "extension"


def note_location(directory: RunDirectory, study: Study) -> None:
    """Write where the rows of a table larger than memory are found now, for whoever does the tasks."""
    if study.dataset.stream is not None:
        directory.write_sealed(LOCATION, study.dataset.stream.location.as_json())


@contextmanager
def opened(
    study: Study, path: Path, written: str | None, site: Site | None = None
) -> Iterator[tuple[RunDirectory, Plan]]:
    """`open_run`, with the run directory held against other drivers for as long as it is open.

    Raises `StorageError` where another one holds it. A finished run isn't held: nothing is written there any more.
    """
    refuse_foreign_folder(path)
    directory = RunDirectory(path)
    if is_set_aside(directory):  # for an extension that was cut short
        with locked(path):
            set_aside(directory)
    if is_done(study, path):
        refuse_damaged_results(directory)
        note_location(directory, study)
        yield directory, Plan.from_json(directory.read_opened(PLAN))
        return
    earlier = newest_opening(directory)
    if earlier == directory:
        for name in (SETTINGS, RUN, PLAN):  # what is damaged is neither continued nor extended
            directory.read_opened(name)
    going_on = earlier == directory and refuse_another_study(directory, study).kind != "extension"
    plan = None if going_on else plan_study(study, site, earlier=earlier)  # what it refuses leaves nothing behind
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
    if path.is_dir() and newest_opening(RunDirectory(path)) is None and not RunDirectory(path).has(SETTINGS):
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


def refuse_another_study(opening: RunDirectory, study: Study) -> Changes:
    """How the spec of a study differs from that of a revision; raises `CallError` where a run can't be extended so."""
    changes = changes_of(opening, study)
    if changes.kind == "another study":
        unfinished = opening.top is None and not opening.has(SUMMARY)
        going_on = f"; to continue it as it was begun: structflow resume {opening.path}" if unfinished else ""
        whose = f"{opening.top or opening.path} holds {'an unfinished' if unfinished else 'a'} run of another study"
        raise CallError(f"{whose}:\n  {changes.refusal}\n{SENTENCE}{going_on}")
    return changes


def carry_out(directory: RunDirectory, plan: Plan, place: Place | None, listener: Listener) -> float:
    """Do every task that has no record yet, at a place, by default in this process.

    Returns the seconds it took; of tasks that an earlier call did, the seconds of each.
    """
    earlier = [directory.record(task.name).seconds for task in plan.tasks() if directory.is_committed(task.name)]
    started = time.perf_counter()
    (run_here if place is None else place.carry_out)(directory, plan, listener)
    return time.perf_counter() - started + sum(seconds or 0.0 for seconds in earlier)
