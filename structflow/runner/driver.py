"""Begins, continues or extends the run of a study in a directory, and carries its plan out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from ..errors import CallError, StorageError
from ..plan.plan import Plan, make_plan
from ..spec.render import render_spec
from ..spec.spec_hash import spec_hash
from ..spec.study import Study
from ..store.inspection import refuse_damaged_results, seal_start
from ..store.names import (
    EVALUATIONS,
    LOCATION,
    LOCK,
    MEMBERS,
    PLAN,
    RECORDS,
    RUN,
    SETTINGS,
    SUMMARY,
)
from ..store.revisions import archive, earlier_revisions, is_archived, next_number
from ..store.run_directory import RunDirectory, json_text
from ..store.run_lock import locked
from .changes import SENTENCE, Changes, changes_of, spec_as_json
from .cluster_options import ClusterOptions
from .executors import Place, Site, place_for, run_here, site_here
from .machine import environment
from .progress import Listener

OURS = (LOCK, RECORDS, MEMBERS, EVALUATIONS, "spec.yaml", "resolved.yaml")
"""What a start that was interrupted may have left in a run directory, before its settings."""


def plan_study(
    study: Study, site: Site | None = None, threads: int | None = None, earlier: RunDirectory | None = None
) -> Plan:
    """The plan of a study for the place where it will run, by default this process, with its threads or others.

    Where it extends an `earlier` revision, tasks run as they did there.
    """
    site = site or site_here(study.spec.compute.device)
    threads = threads or site.threads
    if earlier is None:
        return make_plan(study, site.device, site.compiles, threads)
    execution = Plan.from_json(earlier.read_start_file(PLAN)).execution
    if execution.device != site.device:
        raise CallError(
            f"the run was trained on {execution.device}, and here is {site.device}: extend it where it was begun, or "
            "use another directory (-o)"
        )
    if execution.compile and not site.compiles:
        raise CallError("the run was trained by compiled programs, and there is no C++ compiler here: install one")
    return make_plan(study, site.device, site.compiles, threads, execution)


@dataclass(frozen=True)
class RunState:
    """What a directory holds of a study: nothing yet, its unfinished run, a run that it extends, or its finished run.

    `earlier` is the revision that is continued or extended, `changes` how its spec differs from that of the study.
    """

    kind: Literal["new", "continue", "extend", "finished"]
    directory: RunDirectory
    earlier: RunDirectory | None
    changes: Changes


def state_of(study: Study, path: Path) -> RunState:
    """What a directory holds of a study; raises `CallError` where it can't hold a run of it."""
    refuse_foreign_folder(path)
    directory = RunDirectory(path)
    earlier = newest_revision(directory)
    if earlier is None:
        return RunState("new", directory, None, Changes("none"))
    changes = refuse_another_study(earlier, study)
    if earlier != directory or changes.kind == "extension":
        return RunState("extend", directory, earlier, changes)
    return RunState("finished" if directory.has(SUMMARY) else "continue", directory, earlier, changes)


@dataclass(frozen=True)
class OpenRun:
    """A run directory that this process holds, its plan, and where it is carried out; None where nothing is left."""

    directory: RunDirectory
    plan: Plan
    place: Place | None = None


@contextmanager
def opened(study: Study, path: Path, written: str | None, cluster: ClusterOptions | None) -> Iterator[OpenRun]:
    """The run of a study in a directory, held against other drivers, at the place where it is to be carried out.

    `written` is the text of the spec file. The place comes before the plan, which is made for it; a finished run needs
    neither, and isn't held, since nothing is written there any more. Raises `CallError` where the directory holds
    another study, `StorageError` where another driver holds it.
    """
    refuse_foreign_folder(path)
    if is_archived(RunDirectory(path)):  # for an extension that was cut short
        with locked(path):
            archive(RunDirectory(path))
    state = state_of(study, path)
    if state.kind == "finished":
        refuse_damaged_results(state.directory)
        yield begun(state, study, written)
        return
    if state.earlier == state.directory:
        for name in (SETTINGS, RUN, PLAN):  # what is damaged is neither continued nor extended
            state.directory.read_start_file(name)
    with place_for(cluster, study.spec.compute.device) as place:
        # what a plan refuses leaves nothing behind
        plan = None if state.kind == "continue" else plan_study(study, place.site, earlier=state.earlier)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make the run directory {path}: {error.strerror or error}") from error
        with locked(path):  # another driver may have been here meanwhile
            yield replace(begun(state_of(study, path), study, written, plan), place=place)


def open_run(study: Study, path: Path, written: str | None) -> OpenRun:
    """The run of a study in a directory that nobody else has, to be carried out in this process."""
    return begun(state_of(study, path), study, written)


def begun(state: RunState, study: Study, written: str | None, plan: Plan | None = None) -> OpenRun:
    """The run directory with its plan: as it is, or a new revision by `plan`; an extended one is archived first."""
    directory = state.directory
    if state.kind in ("continue", "finished"):
        note_location(directory, study)
        return OpenRun(directory, Plan.from_json(directory.read_start_file(PLAN)))
    plan = plan or plan_study(study, earlier=state.earlier)
    archive(directory)
    directory.create()
    directory.write_text("spec.yaml", written if written is not None else render_spec(study.spec))
    directory.write_text("resolved.yaml", render_spec(study.spec))
    directory.write_json(SETTINGS, settings_as_json(study))
    directory.write_json("environment.json", environment()._asdict())
    if state.earlier is None:
        study.dataset.save(directory.data)
    note_location(directory, study)
    directory.write_json(RUN, run_as_json(study, state.changes, next_number(directory)))
    text = json_text(plan.as_json())
    seal_start(directory, text)
    directory.write_text(PLAN, text)
    return OpenRun(directory, plan)


def newest_revision(directory: RunDirectory) -> RunDirectory | None:
    """What a run directory was started with last, which may be archived already; None where nothing was."""
    if directory.has(PLAN):
        return directory
    return next((revision for revision in earlier_revisions(directory) if revision.has(PLAN)), None)


def run_as_json(study: Study, changes: Changes, revision: int) -> dict[str, JsonValue]:
    """What identifies a revision, its number, and how its spec differs from that of the revision before."""
    return {
        "revision": revision,
        "spec_hash": spec_hash(study.spec),
        "data_digest": study.dataset.digest,
        "spec": spec_as_json(study.spec),
        "extended_by": list(changes.lines),
    }


def note_location(directory: RunDirectory, study: Study) -> None:
    """Write where the rows of a table larger than memory are found now, for whoever does the tasks."""
    if study.dataset.stream is not None:
        directory.write_sealed(LOCATION, study.dataset.stream.location.model_dump())


def refuse_foreign_folder(path: Path) -> None:
    """Raise `CallError` where a run directory can't be, because something else is there."""
    if path.exists() and not path.is_dir():
        raise CallError(f"{path} is a file; expected a folder for the run: choose another with -o")
    if path.is_dir() and newest_revision(RunDirectory(path)) is None and not RunDirectory(path).has(SETTINGS):
        foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(".") and entry.name not in OURS]
        if foreign:
            raise CallError(f"{path} is not empty and not a run directory; choose another with -o")


def settings_as_json(study: Study) -> list[dict[str, JsonValue]]:
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


def refuse_another_study(revision: RunDirectory, study: Study) -> Changes:
    """How the spec of a study differs from that of a revision; raises `CallError` where a run can't be extended so."""
    changes = changes_of(revision, study)
    if changes.kind == "another study":
        unfinished = revision.top is None and not revision.has(SUMMARY)
        going_on = f"; to continue it as it was begun: structflow resume {revision.path}" if unfinished else ""
        whose = f"{revision.top or revision.path} holds {'an unfinished' if unfinished else 'a'} run of another study"
        raise CallError(f"{whose}:\n  {changes.refusal}\n{SENTENCE}{going_on}")
    return changes


def carry_out(run: OpenRun, listener: Listener) -> float:
    """Do every task that has no record yet, at the run's place, by default in this process.

    Returns the seconds it took; of tasks that an earlier call did, the seconds of each.
    """
    directory = run.directory
    directory.create()  # folders that were lost
    earlier = [directory.record(task.name).seconds for task in run.plan.tasks() if directory.is_committed(task.name)]
    started = time.perf_counter()
    (run_here if run.place is None else run.place.carry_out)(directory, run.plan, listener)
    return time.perf_counter() - started + sum(seconds or 0.0 for seconds in earlier)
