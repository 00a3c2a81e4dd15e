"""What a summary says of members whose code raised while they were trained or evaluated."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Literal

from ..plan.tasks import Task
from ..runner.context import RunContext
from ..store.records import FailedMember, SelectRecord
from .evaluations import evaluate_records, evaluations
from .models import FailedMembers
from .read import structure_name

MOST_NAMED = 3
"""Structures that a warning names."""


def failed_members(context: RunContext, setting: int) -> list[FailedMembers]:
    """An entry for every structure and error of a setting, with the `restarts` that it left out."""
    entries: dict[str, FailedMembers] = {}
    for during, estimator, member in failures_in(context, setting):
        known = member.model_dump(exclude={"restart"})
        entry = FailedMembers(during=during, estimator=estimator, **known, restarts=[])
        entries.setdefault(repr(entry), entry).restarts.append(member.restart)
    for entry in entries.values():
        entry.restarts.sort()
    return list(entries.values())


def failures_in(
    context: RunContext, setting: int
) -> Iterator[tuple[Literal["training", "evaluation"], str | None, FailedMember]]:
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


def failure_warnings(entries: Sequence[FailedMembers], members: int) -> list[str]:
    """A warning for every error, with how many of so many members it left out, and of which structures."""
    found = []
    what_raised = operator.attrgetter("during", "estimator", "error")
    for during, estimator, error in dict.fromkeys(map(what_raised, entries)):
        same = [entry for entry in entries if what_raised(entry) == (during, estimator, error)]
        count = sum(len(entry.restarts) for entry in same)
        names = dict.fromkeys("relaxed" if each.structure is None else structure_name(each.structure) for each in same)
        shown = " | ".join(list(names)[:MOST_NAMED]) + (" | …" if len(names) > MOST_NAMED else "")
        if during == "training":
            what = f"{count} of {members} members failed and were left out"
        elif estimator:
            what = f"estimator {estimator} failed for {count} structure(s), which have no value by it"
        else:
            what = f"the evaluation of {count} structure(s) failed, which are left out of the ranking"
        found.append(f"{what}: {error} ({shown})")
    return found
