"""Damaged parts of a run made again from what is sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import StorageError
from ..plan.plan import Plan
from ..runner.cluster_options import ClusterOptions
from ..runner.driver import OpenRun, carry_out
from ..runner.executors import place_for
from ..runner.progress import Listener
from ..store.inspection import Damage, damage, recorded, withdraw_record, withdraw_results
from ..store.names import OWN_NAMES, PLAN, RESULT_MANIFEST, SUMMARY
from ..store.revisions import damage_of_earlier, drop_revision, earlier_revisions
from ..store.run_directory import WITHOUT_REPAIR, RunDirectory
from ..store.run_lock import locked, refuse_foreign_lock
from .read import refuse_no_run

MISSING = " is missing"
"""What a message about a file that isn't there ends with."""


def inspect(path: Path) -> list[Damage]:
    """What is damaged in a run directory and in its earlier revisions; raises `CallError` where there is none."""
    refuse_no_run(path)
    directory = RunDirectory(path)
    refuse_foreign_lock(path)
    found = list(damage(directory))
    if (directory.has(SUMMARY) or directory.has(RESULT_MANIFEST)) and not damage_of_start(found):
        plan = Plan.from_json(directory.read_start_file(PLAN))
        lost = [task.name for task in plan.tasks() if not directory.is_committed(task.name)]
        found += [Damage("task", task, f"{directory.record_file(task)} is missing") for task in lost]
    return found + [replace(each, part="earlier") for each in damage_of_earlier(directory)]


def damage_of_start(found: Sequence[Damage]) -> list[Damage]:
    """What is damaged of the files that the run was started with."""
    return [each for each in found if each.part == "opened"]


def lines_of(found: Sequence[Damage]) -> list[str]:
    """What is damaged, a line each; a folder that is gone is named once, with the number of its files."""
    lines: dict[str, int] = {}
    for each in found:
        missing = each.message.removesuffix(MISSING)
        folder = lost_folder(Path(missing)) if missing != each.message else None
        line = each.message if folder is None else f"{folder}{MISSING}"
        lines[line] = lines.get(line, 0) + (folder is not None)
    return [f"{line}, with {number:,} file(s)" if number else line for line, number in lines.items()]


def lost_folder(path: Path) -> Path | None:
    """The outermost folder of a missing file that is missing, too."""
    gone = [folder for folder in path.parents if not os.path.lexists(folder)]
    return gone[-1] if gone else None


def advice(found: Sequence[Damage], path: Path) -> str:
    """What to do about damage in the run at `path`: repair it, unless nothing can be recomputed from what is left."""
    command = f"structflow verify {path} --repair"
    lost = damage_of_start(found)
    if not lost:
        return f"repair it with: {command}"
    rest = f"\nonce it is put back, repair the rest with: {command}" if len(lost) < len(found) else ""
    return f"{lost[0].message}; {WITHOUT_REPAIR}{rest}"


def repair(path: Path, cluster: ClusterOptions | None, listener: Listener) -> list[str]:
    """Recompute the damaged tasks and rebuild the results; returns the tasks that were recomputed.

    A task gives the same numbers again on the same kind of machine. Where it doesn't, all that follows from it is
    recomputed, too. Raises `StorageError` where what the run was started with is damaged, since nothing can be computed
    from that. What is damaged in earlier revisions is dropped: the run has its own copy of what it reused.
    """
    from .run import finish

    directory = RunDirectory(path)
    with locked(path):
        for name in OWN_NAMES:
            directory.has(name)  # refuses a link before anything is removed
        lost = damage_of_start(inspect(path))
        if lost:
            raise StorageError(f"{lost[0].message}; {WITHOUT_REPAIR}")
        drop_damage_of_earlier(directory)
        found = inspect(path)
        refuse_older_records(directory)
        tasks = sorted({each.task for each in found if each.task is not None})
        was_finished = directory.has(SUMMARY) or any(each.part == "results" for each in found)
        before = {task: digest for task in tasks if (digest := readable_digest(directory, task)) is not None}
        if found:
            withdraw_results(directory)
        plan = Plan.from_json(directory.read_start_file(PLAN))
        done = list(tasks)
        for task in tasks:
            withdraw_record(directory, task)
        if not was_finished:
            return done
        seconds = again(directory, plan, cluster, listener)
        changed = [task for task, digest in before.items() if directory.record(task).digest != digest]
        if changed:
            for task in following(plan, changed):
                withdraw_record(directory, task)
                done.append(task)
            seconds = again(directory, plan, cluster, listener)
        if found:
            finish(directory, seconds)
        return done


def drop_damage_of_earlier(directory: RunDirectory) -> None:
    """Remove damaged records and results of earlier revisions, and revisions whose own files are damaged."""
    for revision in earlier_revisions(directory):
        found = list(damage(revision))
        if any(each.part == "opened" and not each.is_of_data for each in found):
            drop_revision(revision)
            continue
        for each in found:
            if each.task is None:
                withdraw_results(revision)
            else:
                withdraw_record(revision, each.task)


def refuse_older_records(directory: RunDirectory) -> None:
    """Raise `StorageError` where records of training know no training keys, so that nothing can be added to them."""
    for task in recorded(directory):
        try:
            payload = directory.record(task).payload
        except StorageError:
            continue
        if task.endswith("-train") and not payload["empty"] and "keys" not in payload:
            raise StorageError(
                f"{directory.path} is of an earlier version of structflow, whose runs this one can't repair: run the "
                "spec in a new directory (-o)"
            )


def again(directory: RunDirectory, plan: Plan, cluster: ClusterOptions | None, listener: Listener) -> float:
    """Do what has no record, where the options say."""
    with place_for(cluster, plan.execution.device) as place:
        return carry_out(OpenRun(directory, plan, place), listener)


def readable_digest(directory: RunDirectory, task: str) -> str | None:
    """The digest that a record states, where the record itself is sound."""
    try:
        return directory.record(task).digest
    except StorageError:
        return None


def following(plan: Plan, changed: Sequence[str]) -> list[str]:
    """Every task that comes after one of these, in the order of the plan."""
    after = set(changed)
    found = []
    for task in plan.tasks():
        if any(parent.name in after for parent in task.parents) and task.name not in after:
            found.append(task.name)
            after.add(task.name)
    return found
