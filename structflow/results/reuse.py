"""How much of an extended run was trained before, and why the rest was trained."""

from __future__ import annotations

from collections import Counter

from ..runner.context import RunContext
from ..runner.decided import decided_batch, trainings
from ..store.entries import MemberEntry
from ..store.names import RUN
from .models import Extension

UNFINISHED = "its later stages were not trained before"
"""Why a member is trained of which only the first stages are known."""

NEW = "not trained before"
"""Why a member is trained that no earlier revision knows at all."""

LOST = "its values were lost"
"""Why a member is trained again though an earlier revision has an entry of it."""

PARTS = {
    "torch": "torch was {0} and is {1}",
    "plugins": "plugins were {0} and are {1}",
    "dtype": "numbers were {0} and are {1}",
    "device": "the device was {0} and is {1}",
    "mode": "programs were {0} and are {1}",
    "data": "the data have changed",
    "folds": "which rows are held out together has changed",
    "functions": "the functions it has or may choose, or their options or shapes, have changed",
    "settings": "not trained under these settings before",
    "against": "what it is repelled from has changed",
    "removed": "which of its weights are removed has changed",
    "start": "what it starts from has changed",
}
"""Why a member is trained again that an earlier revision knows, by the first part of its key that differs."""


def extension(context: RunContext) -> Extension | None:
    """How the run extends an earlier revision; None where it extends none.

    The members of all rounds, after their last stage, are looked for among those of earlier revisions.
    """
    changes = context.directory.read_start_file(RUN).get("extended_by")
    if not changes:
        return None
    before: dict[str, list[MemberEntry]] = {}
    earlier: set[str] = set()
    new: set[str] = set()
    for _, index in context.directory.members.indexes():
        trained = [index.whole(number) for number, entry in enumerate(index.entries) if entry.digest is not None]
        (earlier if index.revision < context.revision else new).update(entry.key for entry in trained)
        if index.revision < context.revision:
            for entry in trained:
                before.setdefault(entry.parts["noise"], []).append(entry)
    members = reused = 0
    reasons: Counter[str] = Counter()
    for setting in range(len(context.plan.settings)):
        for task in trainings(context.plan, setting):
            decided = decided_batch(context.directory, task)
            if decided is None:
                continue
            entries = context.directory.members.read([own[0] for own in decided.keys])
            ends = context.directory.members.read(decided.after(task.stage))
            for first, end in zip(entries, ends, strict=True):
                if end.digest is None:
                    continue
                members += 1
                if end.key in earlier and end.key not in new:
                    reused += 1
                else:
                    is_known = first.key in earlier and first.key not in new
                    reasons[UNFINISHED if is_known else reason(first, before)] += 1
    return Extension(changes=changes, members=members, taken_over=reused, reasons=dict(sorted(reasons.items())))


def reason(entry: MemberEntry, before: dict[str, list[MemberEntry]]) -> str:
    """Why a member had to be trained, given those of earlier revisions by their noise keys."""
    known = before.get(entry.parts["noise"], ())
    if not known:
        return NEW
    nearest = min(known, key=lambda other: sum(other.parts.get(part) != entry.parts.get(part) for part in PARTS))
    differing = [part for part in PARTS if nearest.parts.get(part) != entry.parts.get(part)]
    if not differing:
        return LOST
    return PARTS[differing[0]].format(nearest.parts.get(differing[0]), entry.parts.get(differing[0]))
