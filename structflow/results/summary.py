"""The summary of a run, from its records: what `structflow show --json` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..evidence.row_sampling import row_sampling_error
from ..plan.tasks import Task
from ..plugins import Candidate
from ..runner.context import RunContext
from ..runner.decided import decided_batch, trainings
from ..runner.evaluate import ROW_TERMS
from ..runner.select import canonical, whole_networks
from ..spec.criterion_calls import criterion_of
from ..spec.study import Setting
from ..store.names import RUN
from ..store.records import (
    Complexities,
    SelectedStructure,
    SelectRecord,
    StructureJson,
    TrainedMember,
    TrainRecord,
)
from .convergence import convergence_warnings, gaps_to_neighbours, judged_alone, measures_h, scale_remedy
from .divergence import divergence_warnings
from .estimator_warnings import disagreements, missing_estimates, unsure_estimates
from .evaluations import Found, best_restart, evaluations
from .failed_members import failed_members, failure_warnings
from .models import (
    RankingEntry,
    RelaxedResult,
    SampledRows,
    SettingResults,
    SettingSummary,
    StageSummary,
    Summary,
)
from .pruned import pruned_networks
from .ranking import error_of_gap, rank
from .relevance import relevance_entries
from .reuse import extension
from .unranked import unranked_structures, unranked_warning

COMPLEXITIES = tuple(Complexities.model_fields)
"""Complexities of a relaxed member."""


def summarise(context: RunContext, seconds: float, warnings: Sequence[str] = ()) -> Summary:
    """The summary of a finished run; `warnings` come after those about what was found."""
    found = [summarise_setting(context, index, setting) for index, setting in enumerate(context.study.settings)]
    settings = [each for each, _ in found]
    first = settings[0]
    return Summary(
        run=context.directory.name,
        status="finished" if first.ranking else "failed",
        spec_hash=context.directory.read_start_file(RUN)["spec_hash"],
        n_structures=context.plan.n_structures,
        rows=sampled_rows(context),
        **{name: getattr(first, name) for name in SettingResults.model_fields if name != "failures"},
        failures=[failure for each in settings for failure in each.failures],
        settings=settings if any(each.values for each in settings) else [],
        extension=extension(context),
        warnings=[*warnings_of(found), *warnings],
        seconds=round(seconds, 2),
    )


def warnings_of(settings: Sequence[tuple[SettingSummary, Sequence[str]]]) -> list[str]:
    """The warnings of all settings, each with the values it is about where there are several."""
    found = []
    for setting, warnings in settings:
        values = ", ".join(f"{key} {json.dumps(value)}" for key, value in setting.values.items())
        found += [f"{values}: {warning}" if len(settings) > 1 else warning for warning in warnings]
    return found


def summarise_setting(context: RunContext, index: int, setting: Setting) -> tuple[SettingSummary, list[str]]:
    """What was found under one setting, and warnings about it."""
    spec = setting.stages[-1]
    selection = context.directory.read(Task("select", index).name, SelectRecord)
    found = list(evaluations(context, index))
    discrete = [each for each in found if each.evaluation.structure is not None and each.evaluation.pruned is None]
    ranked = [each for each in discrete if each.evaluation.score is not None]
    members = [each.evaluation for each in discrete]
    ranking = ranked_entries(context, index, ranked, selection)
    failures = failed_members(context, index)
    by_estimate = criterion_of(spec).by_estimator
    unranked = unranked_structures(selection, members, failures, ranking, by_estimate)
    relaxed = [each for each in found if each.evaluation.structure is None]
    summary = SettingSummary(
        values=setting.values,
        criterion=spec.criterion.type,
        ranking=ranking,
        unranked=unranked,
        pruned=pruned_networks(context, index, found, measures_h(spec)),
        relaxed=relaxed_result(relaxed[-1], selection, measures_h(spec, is_relaxed=True)) if relaxed else None,
        relevance=relevance_entries(members, ranking),
        stages=stage_summaries(context, index),
        failures=failures,
    )
    headline = unranked_warning(unranked, ranking)
    tied = sum(bool(entry.tied_with_best) for entry in ranking)
    remedy = scale_remedy(spec, *context.study.dataset.train())
    rounds = sorted({context.plan.settings[index].rounds[each.task.round].name for each in ranked})
    warnings = [
        *([] if headline is None else [headline]),
        *divergence_warnings(context, index, selection.diverged, selection.members),
        *failure_warnings(failures, selection.members),
        *([f"{tied} structure(s) tie with the best: the gap is under two standard errors"] if tied else []),
        *missing_estimates(members, by_estimate),
        *unsure_estimates(ranking),
        *convergence_warnings(ranking, spec, remedy, rounds),
        *disagreements(ranking),
    ]
    return summary, warnings


def ranked_entries(
    context: RunContext, setting: int, ranked: Sequence[Found], selection: SelectRecord
) -> list[RankingEntry]:
    """The ranking of evaluated members that have a score.

    Restarts agree with a structure if they round to it, where one relaxed round comes before the discrete ones;
    elsewhere its own restarts agree if their scores are near its best.
    """
    spec = context.stages(setting)[-1]
    by_structure = {canonical(item.structure or {}): item for item in whole_networks(selection)}
    relaxed = relaxed_selection(selection)
    relaxed_rounds = sum(planned.relaxed for planned in context.plan.settings[setting].rounds)
    best = []
    for each in ranked:
        name = canonical(each.evaluation.structure or {})
        picked = by_structure[name]
        agreement = picked.agreement
        if relaxed is not None and relaxed_rounds == 1:
            agreement = share_rounding_to(name, relaxed.rounded or ())
        best.append(best_restart(each.evaluation, len(picked.scores), agreement))
    places = rank(best, context.study.space, spec, gap_errors(context, ranked))
    gaps = gaps_to_neighbours([best[place.number].score + place.log_prior for place in places])
    entries = []
    for position, (place, gap) in enumerate(zip(places, gaps, strict=True), start=1):
        member = ranked[place.number]
        convergence = judged_alone(member.convergence, member.evaluation.noise_se, gap, measures_h(spec))
        entries.append(
            RankingEntry(
                rank=position,
                **dict(best[place.number]),
                **dict(convergence),
                log_prior=place.log_prior,
                probability=place.probability,
                tied_with_best=place.tied_with_best,
            )
        )
    return entries


def gap_errors(context: RunContext, ranked: Sequence[Found]) -> Callable[[int, int], float | None] | None:
    """The standard error of the gap between two ranked members by their numbers; None where all rows were in memory.

    Both were scored on the same sample of rows, so that its part is the error of the differences row by row. It gives
    None where the error of either score isn't known.
    """
    arrays = context.directory.evaluations.arrays([each.key for each in ranked], ROW_TERMS.__eq__)
    by_row = [each[ROW_TERMS] for each in arrays if ROW_TERMS in each]
    if not by_row:
        return None
    noise = [each.evaluation.noise_se for each in ranked]
    rows = context.study.dataset.n_train

    def error(one: int, other: int) -> float | None:
        difference = row_sampling_error(by_row[one] - by_row[other], rows)
        return error_of_gap(noise[one], noise[other], float(difference))

    return error


def sampled_rows(context: RunContext) -> SampledRows | None:
    """For a table larger than memory, how many of its rows evidence and metrics were estimated on."""
    dataset = context.study.dataset
    if dataset.stream is None:
        return None
    sampled = {"train": len(dataset.train_rows), "test": len(dataset.test_rows)}
    return SampledRows(train=dataset.n_train, test=dataset.n_test, estimated_on=sampled)


def stage_summaries(context: RunContext, setting: int) -> list[StageSummary]:
    """Complexities of the member with the best bound at the end, for every stage of every round that trained members.

    Where rows are held out these are members that learn from all rows: the others' bounds are of other rows.

    `bound` is of the samples of the last step, with all c = 1, in the target's original units; `metaparameters` are the
    round's own. Where a regime removes weights `removal` says how many are left, and has the member's metrics.
    """
    dataset = context.study.dataset
    shift = dataset.n_train * float(np.log(dataset.target_scale).sum())
    found = []
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        for stage in range(len(planned.steps)):
            trained = [member for member in trained_in(context, setting, round_index, stage) if not member[1].failed]
            whole = [member for candidate, member in trained if candidate.fold == 0]
            if not whole:
                continue
            best = max(whole, key=lambda member: -math.inf if member.bound is None else member.bound)
            found.append(
                StageSummary(
                    round=planned.name,
                    stage=stage,
                    members=len(trained),
                    metaparameters=dict(planned.metaparameters),
                    bound=None if best.bound is None else best.bound - shift,
                    **({} if best.complexities is None else dict(best.complexities)),
                    removal=best.removal,
                )
            )
    return found


def trained_in(
    context: RunContext, setting: int, round_index: int, stage: int
) -> Iterator[tuple[Candidate, TrainedMember]]:
    """The members of a round with what the records of a stage say of them."""
    for task in trainings(context.plan, setting, stage):
        decided = decided_batch(context.directory, task) if task.round == round_index else None
        if decided is not None:
            record = context.directory.read(task.name, TrainRecord)
            yield from zip(decided.members, record.members, strict=True)


def relaxed_selection(selection: SelectRecord) -> SelectedStructure | None:
    """The restarts of the relaxation, if there are any."""
    return next((item for item in selection.structures if item.structure is None), None)


def relaxed_result(found: Found, selection: SelectRecord, h_is_measured: bool) -> RelaxedResult:
    """The relaxed result: bound, q(Γ) rounded edge by edge, entropies, and all restarts."""
    member, restarts = found.evaluation, relaxed_selection(selection)
    return RelaxedResult(
        bound=member.log_evidence,
        bound_se=member.log_evidence_se,
        q_probability=member.q_probability,
        **dict(judged_alone(found.convergence, member.noise_se, h_is_measured=h_is_measured)),
        **{key: getattr(member, key) for key in COMPLEXITIES},
        hyperparameters=member.hyperparameters,
        metrics=member.metrics,
        robustness=member.robustness,
        restarts=[] if restarts is None else list(restarts.scores),
        rounded=[] if restarts is None else list(restarts.rounded or ()),
    )


def share_rounding_to(structure: str, rounded: Sequence[StructureJson | None]) -> float:
    """Share of the relaxed restarts that round to a structure."""
    return sum(item is not None and canonical(item) == structure for item in rounded) / max(1, len(rounded))
