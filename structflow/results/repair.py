"""Damaged parts of a run made again from what is sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import StorageError
from ..plan.plan import Plan
from ..runner.cluster_options import ClusterOptions
from ..runner.driver import OpenRun, carry_out
from ..runner.executors import place_for
from ..runner.progress import Listener
from ..store.inspection import (
    Damage,
    damage,
    entry_stores,
    lacking_entries,
    named_keys,
    withdraw_record,
    withdraw_results,
)
from ..store.names import EARLIER, OWN_NAMES, PLAN, RESULT_MANIFEST, SUMMARY
from ..store.run_directory import WITHOUT_REPAIR, RunDirectory
from ..store.run_lock import locked, refuse_foreign_lock
from .read import refuse_no_run

MISSING = " is missing"
"""What a message about a file that isn't there ends with."""


def inspect(path: Path) -> list[Damage]:
    """What is damaged in a run directory; raises `CallError` where there is none.

    Nothing depends on its earlier revisions, each of which is inspected by its own path.
    """
    refuse_no_run(path)
    directory = RunDirectory(path)
    refuse_foreign_lock(path)
    directory.has(EARLIER)  # refuses a link
    found = list(damage(directory))
    if (directory.has(SUMMARY) or directory.has(RESULT_MANIFEST)) and not damage_of_start(found):
        plan = Plan.from_json(directory.read_start_file(PLAN))
        lost = [task.name for task in plan.tasks() if not directory.is_committed(task.name)]
        found += [Damage("task", task, f"{directory.record_file(task)} is missing") for task in lost]
    return found


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
    from that.
    """
    from .run import finish

    directory = RunDirectory(path)
    with locked(path):
        for name in OWN_NAMES:
            directory.has(name)  # refuses a link before anything is removed
        found = inspect(path)
        lost = damage_of_start(found)
        if lost:
            raise StorageError(f"{lost[0].message}; {WITHOUT_REPAIR}")
        for each in found:
            if each.name is not None:
                entry_stores(directory)[each.part].remove(each.name)
        tasks = sorted({each.task for each in found if each.task is not None} | lacking_entries(directory).keys())
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
            done += withdraw_with_entries(directory, following(plan, changed))
            seconds = again(directory, plan, cluster, listener)
        if found:
            finish(directory, seconds)
        return done


def withdraw_with_entries(directory: RunDirectory, tasks: Sequence[str]) -> list[str]:
    """Withdraw tasks with the entries that they name, whose keys don't tell that what they start from has changed.

    Returns these tasks, and others that lack entries now.
    """
    stores = entry_stores(directory)
    for task in tasks:
        for folder, keys in named_keys(directory, task).items():
            names = [name for name, index in stores[folder].indexes() if not keys.isdisjoint(index.keys)]
            for name in names:
                stores[folder].remove(name)
        withdraw_record(directory, task)
    others = list(lacking_entries(directory))
    for task in others:
        withdraw_record(directory, task)
    return [*tasks, *others]


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
