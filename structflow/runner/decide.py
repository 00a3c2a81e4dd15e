"""The task that writes the members and batches of a round."""

from __future__ import annotations

import math

from ..plan.batching import make_batches
from ..plan.tasks import Task
from ..plugins import Candidate, MemberRecord
from ..plugins.registry import registry
from ..spec.structures import Structure
from ..store.run_directory import Found
from .context import RunContext


def decide(context: RunContext, task: Task) -> Found:
    """Ask the regime for the members of the round, given the records of the rounds before, and cut them."""
    spec = context.stages(task.setting)[0]
    regime = registry().get("regimes", spec.regime.type)
    records = member_records(context, task.setting, task.round)
    space, restarts = context.study.space, spec.optimizer.restarts
    candidates = regime.decide(spec.regime, space, restarts, task.round, records)
    planned = context.plan.settings[task.setting].rounds[task.round]
    alone = spec.posterior.weights.covariance == "full" and not planned.relaxed
    batches = make_batches(context.study.graph, candidates, planned.members_per_batch, alone)
    if len(batches) > planned.slots:
        raise RuntimeError(
            f"regime {spec.regime.type} wants {len(batches)} batches where its bound allows {planned.slots}"
        )
    return Found({"batches": [batch.as_json() for batch in batches]})


def member_records(context: RunContext, setting: int, before_round: int) -> list[MemberRecord]:
    """What all members of earlier rounds came to, in the order they were planned; diverged ones score −∞."""
    records = []
    for round_index, planned in enumerate(context.plan.settings[setting].rounds[:before_round]):
        last = len(planned.steps) - 1
        for slot in range(planned.slots):
            payload = context.directory.record(Task("train", setting, round_index, last, slot).name).payload
            if payload["empty"]:
                continue
            for member, score, rounded in zip(payload["members"], payload["scores"], payload["rounded"], strict=True):
                structure = None if member["structure"] is None else Structure.from_dict(member["structure"])
                records.append(
                    MemberRecord(
                        Candidate(structure, member["restart"]),
                        -math.inf if score is None else score,
                        None if rounded is None or score is None else Structure.from_dict(rounded),
                    )
                )
    return records
