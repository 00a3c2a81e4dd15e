"""What a summary says of members whose code raised while they were trained or evaluated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext
from .evaluations import evaluations
from .read import structure_name

MOST_NAMED = 3
"""Structures that a warning names."""


def failed_members(context: RunContext, setting: int) -> list[dict[str, Any]]:
    """An entry for every structure and error of a setting, with the `restarts` that it left out.

    `during` is "training" or "evaluation"; `round`, `stage` and the number of its steps that were done, `step`, say
    where training was, and are None for an evaluation. `estimator` is the only one whose code raised, where the rest of
    an evaluation is there; other entries don't have it.
    """
    entries: dict[str, dict[str, Any]] = {}
    failed = failed_in_training(context, setting), failed_in_evaluation(context, setting)
    for place, member in [*itertools.chain(*failed), *failed_in_estimates(context, setting)]:
        entry = {**place, "structure": member["structure"], "error": member["error"]}
        entries.setdefault(repr(entry), {**entry, "restarts": []})["restarts"].append(member["restart"])
    return [{**entry, "restarts": sorted(entry["restarts"])} for entry in entries.values()]


def failed_in_training(context: RunContext, setting: int) -> Iterable[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Members that weren't trained, from the record of the selection; one of an earlier version names none."""
    for member in context.directory.record(Task("select", setting).name).payload.get("failed", []):
        yield {"during": "training", **{key: member[key] for key in ("round", "stage", "step")}}, member


def failed_in_evaluation(context: RunContext, setting: int) -> Iterable[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Trained members without an evaluation."""
    last = len(context.stages(setting)) - 1
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for slot in range(planned.slots):
            record = context.directory.record(Task("evaluate", setting, round_index, last, slot).name)
            for member in record.payload.get("failed", []):
                yield {"during": "evaluation", "round": None, "stage": None, "step": None}, member


def failed_in_estimates(context: RunContext, setting: int) -> Iterable[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Evaluated members for which the code of an estimator raised, once for each; earlier versions kept none."""
    for _, member, _ in evaluations(context, setting):
        for name, error in member.get("evidence_raised", {}).items():
            place = {"during": "evaluation", "estimator": name, "round": None, "stage": None, "step": None}
            yield place, {**member, "error": error}


def failure_warnings(entries: Sequence[Mapping[str, Any]], members: int) -> list[str]:
    """A warning for every error, with how many of so many members it left out, and of which structures."""
    found = []
    keys = ("during", "estimator", "error")
    for during, estimator, error in dict.fromkeys(tuple(entry.get(key) for key in keys) for entry in entries):
        same = [entry for entry in entries if tuple(entry.get(key) for key in keys) == (during, estimator, error)]
        count = sum(len(entry["restarts"]) for entry in same)
        names = dict.fromkeys(
            "relaxed" if each["structure"] is None else structure_name(each["structure"]) for each in same
        )
        shown = " | ".join(list(names)[:MOST_NAMED]) + (" | …" if len(names) > MOST_NAMED else "")
        if during == "training":
            what = f"{count} of {members} members failed and were left out"
        elif estimator:
            what = f"estimator {estimator} failed for {count} structure(s), which have no value by it"
        else:
            what = f"the evaluation of {count} structure(s) failed, which are left out of the ranking"
        found.append(f"{what}: {error} ({shown})")
    return found
