"""The task that writes the members and batches of a round."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..objective.structure_prior import log_priors
from ..plan.batching import make_batches, structure_of
from ..plan.plan import RoundPlan, trains_alone, with_folds, with_open_set
from ..plan.tasks import Task
from ..plugins import Candidate, Decision, MemberRecord
from ..plugins.calling import broken_contract
from ..plugins.registry import registry
from ..spec.criterion_calls import fold_count
from ..spec.models import Spec
from ..spec.regime_calls import regime_decision
from ..spec.structures import Structure, StructureSpace
from ..store.records import DecideRecord, TrainRecord
from .context import RunContext
from .decided import decided_batch, trainings
from .fold_scores import Judged, of_all_rows
from .training_keys import keys_after_stages


def decide(context: RunContext, task: Task) -> DecideRecord:
    """Ask the regime for the members of the round, given the records of the rounds before, and cut them into batches.

    It follows from the spec and the records alone, and not from what was trained before the run was extended.
    """
    spec = context.stages(task.setting)[0]
    records = member_records(context, task.setting, task.round)
    decision = regime_decision(spec, context.study.space, task.round, records)
    decision = with_open_set(decision, context.study.space, spec.regime)
    planned = context.plan.settings[task.setting].rounds[task.round]
    check_bound(spec, decision, planned)
    alone = trains_alone(spec, planned.relaxed)
    candidates, together = with_folds(decision.candidates, spec), fold_count(spec) + 1
    batches = make_batches(context.study.graph, candidates, planned.members_per_batch, alone, together)
    if len(batches) > planned.slots:
        raise RuntimeError(f"{len(batches)} batches were made where {planned.slots} are planned")
    keys = [keys_after_stages(context, batch.members, decision.against, task.setting, task.round) for batch in batches]
    return DecideRecord(
        batches=tuple(batch.record(own) for batch, own in zip(batches, keys, strict=True)),
        against=tuple(structure.as_dict() for structure in decision.against),
    )


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
    judged, priors = [], dict[Structure | None, float]()
    for task in trainings(context.plan, setting, before_round=before_round):
        decided = decided_batch(context.directory, task)
        if decided is None:
            continue
        priors.update(priors_of(decided.members, space, spec))
        trained = context.directory.read(task.name, TrainRecord).members
        judged += [Judged(task.round, *each) for each in zip(decided.members, trained, strict=True)]
    records = []
    for number, member, found in of_all_rows(spec, judged):
        known = found.score is not None
        records.append(
            MemberRecord(
                member,
                number,
                -math.inf if found.score is None else found.score + priors.get(member.structure, 0.0),
                -math.inf if not known or found.objective is None else found.objective,
                structure_of(found.rounded) if known else None,
                found.probabilities,
            )
        )
    return records


def priors_of(members: Sequence[Candidate], space: StructureSpace, spec: Spec) -> dict[Structure | None, float]:
    """log p(Γ) of the members' structures."""
    structures = list(dict.fromkeys(member.structure for member in members if member.structure is not None))
    return dict(zip(structures, log_priors(structures, space, spec), strict=True))
