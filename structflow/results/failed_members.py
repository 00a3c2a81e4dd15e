"""What a summary says of members whose code raised while they were trained or evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..plan.tasks import Task
from ..runner.context import RunContext
from ..store.records import FailedMember, SelectRecord
from .evaluations import evaluate_records, evaluations
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
    for during, estimator, member in failures_in(context, setting):
        place = {"during": during, **({} if estimator is None else {"estimator": estimator})}
        entry = {**place, **member.model_dump(include={"round", "stage", "step", "structure", "error"})}
        entries.setdefault(repr(entry), {**entry, "restarts": []})["restarts"].append(member.restart)
    return [{**entry, "restarts": sorted(entry["restarts"])} for entry in entries.values()]


def failures_in(context: RunContext, setting: int) -> Iterator[tuple[str, str | None, FailedMember]]:
    """During what, in which estimator if it was its code alone, and who failed."""
    for member in context.directory.read(Task("select", setting).name, SelectRecord).failed:
        yield "training", None, member
    for _, record in evaluate_records(context, setting):
        for member in record.failed:
            yield "evaluation", None, member
    for found in evaluations(context, setting):
        evaluation = found.evaluation
        for name, error in evaluation.evidence_raised.items():
            member = FailedMember(structure=evaluation.structure, restart=evaluation.restart, error=error)
            yield "evaluation", name, member


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
