"""The task that writes the members and batches of a round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..objective.structure_prior import log_priors
from ..plan.batching import Batch, make_batches
from ..plan.plan import RoundPlan, with_folds, with_open_set
from ..plan.tasks import Task
from ..plugins import Candidate, Decision, MemberRecord
from ..plugins.calling import broken_contract
from ..plugins.registry import registry
from ..spec.criterion_calls import fold_count, weight_family
from ..spec.models import Spec
from ..spec.regime_calls import regime_decision
from ..spec.structures import Structure, StructureSpace
from ..store.run_directory import Found
from .context import RunContext
from .parents import batch_in_slot, trained_in_slot
from .reuse import parted_by_reuse, places_as_json


def decide(context: RunContext, task: Task) -> Found:
    """Ask the regime for the members of the round, given the records of the rounds before, and cut them.

    In a run that was extended `known` says for the batches, by number, how many of their stages an earlier revision has
    trained, and where; `reasons` why the other members are trained, with their numbers.
    """
    spec = context.stages(task.setting)[0]
    records = member_records(context, task.setting, task.round)
    decision = regime_decision(spec, context.study.space, task.round, records)
    decision = with_open_set(decision, context.study.space, spec.regime)
    planned = context.plan.settings[task.setting].rounds[task.round]
    check_bound(spec, decision, planned)
    alone = weight_family(spec).joint and not planned.relaxed
    decision = replace(decision, candidates=with_folds(decision.candidates, spec))
    together = fold_count(spec) + 1
    parts, reasons = parted_by_reuse(context, task, decision)
    batches: list[Batch] = []
    known: dict[str, Any] = {}
    for part in parts:
        for batch in make_batches(context.study.graph, part.candidates, planned.members_per_batch, alone, together):
            places = places_as_json(part, batch)
            if places is not None:
                known[str(len(batches))] = places
            batches.append(batch)
    if len(batches) > planned.slots:
        raise RuntimeError(f"{len(batches)} batches were made where {planned.slots} are planned")
    payload: dict[str, Any] = {
        "batches": [batch.as_json() for batch in batches],
        "against": [structure.as_dict() for structure in decision.against],
    }
    if known or reasons:
        payload.update(known=known, reasons=dict(sorted(reasons.items())))
    return Found(payload)


def check_bound(spec: Spec, decision: Decision, planned: RoundPlan) -> None:
    """Raise `PluginError` where the members of a round are more, or of another kind, than its bound said."""
    regime = registry().get("regimes", spec.regime.type)
    most = planned.members // (fold_count(spec) + 1)
    if len(decision.candidates) > most:
        expected = f"at most {most}, as `rounds` says of round {planned.name!r}"
        raise broken_contract(regime, "decide", f"{len(decision.candidates)} members", expected)
    if any((each.structure is None) != planned.relaxed for each in decision.candidates):
        kinds = ("structures", "relaxed members")
        expected = f"{kinds[planned.relaxed]}, as `rounds` says of round {planned.name!r}"
        raise broken_contract(regime, "decide", kinds[not planned.relaxed], expected)


def member_records(context: RunContext, setting: int, before_round: int) -> list[MemberRecord]:
    """The results of all members of earlier rounds, in the order they were planned; diverged and failed ones score −∞.

    Scores of discrete members count their structure's prior, as the ranking does; the bound of a relaxed member has
    it in KL(q(Γ) ‖ p(Γ | h)).
    """
    space, spec = context.study.space, context.stages(setting)[-1]
    records = []
    for round_index, planned in enumerate(context.plan.settings[setting].rounds[:before_round]):
        last = len(planned.steps) - 1
        for slot in range(planned.slots):
            task = Task("train", setting, round_index, last, slot)
            planned_batch, trained = batch_in_slot(context, task), trained_in_slot(context, task)
            if planned_batch is None:
                continue
            numbers = {member: number for number, member in enumerate(trained.members if trained else ())}
            payload = context.directory.record(task.name).payload
            priors = priors_of(planned_batch.members, space, spec)
            for member in planned_batch.members:
                if member.fold > 0:
                    continue
                if member not in numbers:
                    records.append(MemberRecord(member, round_index, -math.inf, -math.inf))
                    continue
                number = numbers[member]
                score, objective = payload["scores"][number], payload["objectives"][number]
                rounded = payload["rounded"][number]
                records.append(
                    MemberRecord(
                        member,
                        round_index,
                        -math.inf if score is None else score + priors.get(member.structure, 0.0),
                        -math.inf if score is None or objective is None else objective,
                        None if rounded is None or score is None else Structure.from_dict(rounded),
                        payload["probabilities"][number],
                    )
                )
    return records


def priors_of(members: Sequence[Candidate], space: StructureSpace, spec: Spec) -> dict[Structure | None, float]:
    """log p(Γ) of the members' structures."""
    structures = list(dict.fromkeys(member.structure for member in members if member.structure is not None))
    return dict(zip(structures, log_priors(structures, space, spec), strict=True))
