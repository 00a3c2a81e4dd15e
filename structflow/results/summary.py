"""The summary of a run, from its records: what `structflow show --json` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
from ..store.names import REUSED, RUN
from ..store.records import (
    SelectedStructure,
    SelectRecord,
    StructureJson,
    TrainedMember,
    TrainRecord,
)
from .convergence import add_convergence, convergence_warnings, judged_alone, measures_h, scale_remedy
from .divergence import divergence_warnings
from .estimator_warnings import disagreements, missing_estimates, unsure_estimates
from .evaluations import Found, entry_of, evaluations
from .failed_members import failed_members, failure_warnings
from .pruned import pruned_networks
from .ranking import error_of_gap, rank
from .relevance import relevance_entries
from .reuse import reused_members
from .unranked import unranked_structures, unranked_warning

COMPLEXITIES = ("c_param", "c_struct", "c_struct_differential", "relative_density")
"""Complexities of a relaxed member."""


def summarise(context: RunContext, seconds: float) -> dict[str, Any]:
    """The summary of a finished run."""
    settings = [summarise_setting(context, index, setting) for index, setting in enumerate(context.study.settings)]
    first = settings[0]
    return {
        "run": context.directory.name,
        "status": "finished" if first["ranking"] else "failed",
        "spec_hash": context.directory.read_start_file(RUN)["spec_hash"],
        "n_structures": context.plan.n_structures,
        "criterion": context.study.spec.criterion.type,
        **rows_of(context),
        "ranking": first["ranking"],
        "unranked": first["unranked"],
        "pruned": first["pruned"],
        "relaxed": first["relaxed"],
        "relevance": first["relevance"],
        "stages": first["stages"],
        "failures": [failure for each in settings for failure in each["failures"]],
        "settings": [
            {key: value for key, value in each.items() if key != "warnings"}
            for each in (settings if any(each["values"] for each in settings) else [])
        ],
        "extension": extension(context),
        "warnings": warnings_of(settings),
        "seconds": round(seconds, 2),
    }


def extension(context: RunContext) -> dict[str, Any] | None:
    """How the run extends an earlier revision: what changed, and why members were trained; None where it extends none.

    `members` counts all, under `REUSED` those that were trained before, `reasons` the others.
    """
    changes = context.directory.read_start_file(RUN).get("extended_by")
    if not changes:
        return None
    reuse = reused_members(context)
    return {
        "changes": changes,
        "members": reuse.members,
        REUSED: reuse.reused,
        "reasons": dict(sorted(reuse.reasons.items())),
    }


def warnings_of(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The warnings of all settings, each with the values it is about where there are several."""
    found = []
    for each in settings:
        values = ", ".join(f"{key} {json.dumps(value)}" for key, value in each["values"].items())
        found += [f"{values}: {warning}" if len(settings) > 1 else warning for warning in each["warnings"]]
    return found


def summarise_setting(context: RunContext, index: int, setting: Setting) -> dict[str, Any]:
    """Values, ranking, relaxed result and warnings of one setting.

    Restarts agree with a structure if they round to it, where one relaxed round comes before the discrete ones;
    elsewhere its own restarts agree if their scores are near its best.
    """
    selection = context.directory.read(Task("select", index).name, SelectRecord)
    by_structure = {canonical(item.structure or {}): item for item in whole_networks(selection)}
    relaxed_selection = next((item for item in selection.structures if item.structure is None), None)
    relaxed_rounds = sum(planned.relaxed for planned in context.plan.settings[index].rounds)
    entries, relaxed, warnings, discrete = [], None, [], []
    ranked: list[Found] = []
    found = list(evaluations(context, index))
    for each in found:
        member = each.evaluation
        if member.structure is None:
            relaxed = relaxed_entry(each, relaxed_selection, measures_h(setting.stages[-1], is_relaxed=True))
            continue
        if member.pruned is not None:
            continue
        discrete.append(member)
        if member.score is None:
            continue
        picked = by_structure[canonical(member.structure)]
        agreement = picked.agreement
        if relaxed_selection is not None and relaxed_rounds == 1:
            agreement = share_rounding_to(canonical(member.structure), relaxed_selection.rounded or ())
        ranked.append(each)
        entries.append(entry_of(each, len(picked.scores), agreement))
    ranking = rank(entries, context.study.space, setting.stages[-1], gap_errors(context, ranked))
    add_convergence(ranking, measures_h(setting.stages[-1]))
    curves = relevance_entries(discrete, ranking)
    total = selection.members
    warnings += divergence_warnings(context, index, selection.diverged, total)
    failures = failed_members(context, index)
    warnings += failure_warnings(failures, total)
    by_estimate = criterion_of(setting.stages[-1]).by_estimator
    unranked = unranked_structures(selection, discrete, failures, ranking, by_estimate)
    headline = unranked_warning(unranked, ranking)
    warnings = warnings if headline is None else [headline, *warnings]
    tied = [entry for entry in ranking if entry["tied_with_best"]]
    if tied:
        warnings.append(f"{len(tied)} structure(s) tie with the best: the gap is under two standard errors")
    warnings += missing_estimates(discrete, by_estimate)
    warnings += unsure_estimates(ranking)
    remedy = scale_remedy(setting.stages[-1], *context.study.dataset.train())
    rounds = sorted({context.plan.settings[index].rounds[task.round].name for task in (each.task for each in ranked)})
    warnings += convergence_warnings(ranking, setting.stages[-1], remedy, rounds)
    warnings += disagreements(ranking)
    return {
        "values": setting.values,
        "criterion": setting.stages[-1].criterion.type,
        "ranking": ranking,
        "unranked": unranked,
        "pruned": pruned_networks(context, index, found, measures_h(setting.stages[-1])),
        "relaxed": relaxed,
        "relevance": curves,
        "stages": stage_complexities(context, index),
        "failures": failures,
        "warnings": warnings,
    }


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


def rows_of(context: RunContext) -> dict[str, Any]:
    """For a table larger than memory, how many of its rows evidence and metrics were estimated on."""
    dataset = context.study.dataset
    if dataset.stream is None:
        return {}
    sampled = {"train": len(dataset.train_rows), "test": len(dataset.test_rows)}
    return {"rows": {"train": dataset.n_train, "test": dataset.n_test, "estimated_on": sampled}}


def stage_complexities(context: RunContext, setting: int) -> list[dict[str, Any]]:
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
                {
                    "round": planned.name,
                    "stage": stage,
                    "members": len(trained),
                    "metaparameters": dict(planned.metaparameters),
                    "bound": None if best.bound is None else best.bound - shift,
                    **({} if best.complexities is None else best.complexities.model_dump()),
                    **({} if best.removal is None else {"removal": best.removal.model_dump()}),
                }
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


def relaxed_entry(found: Found, selection: SelectedStructure | None, h_is_measured: bool) -> dict[str, Any]:
    """The relaxed result: bound, q(Γ) rounded edge by edge, entropies, and all restarts."""
    member = found.evaluation
    return {
        "bound": member.log_evidence,
        "bound_se": member.log_evidence_se,
        "q_probability": member.q_probability,
        **judged_alone(found.convergence.model_dump(), member.noise_se, h_is_measured=h_is_measured),
        **{key: getattr(member, key) for key in COMPLEXITIES},
        "hyperparameters": member.hyperparameters,
        "metrics": member.metrics,
        "robustness": member.robustness,
        "restarts": [] if selection is None else list(selection.scores),
        "rounded": [] if selection is None else list(selection.rounded or ()),
    }


def share_rounding_to(structure: str, rounded: Sequence[StructureJson | None]) -> float:
    """Share of the relaxed restarts that round to a structure."""
    return sum(item is not None and canonical(item) == structure for item in rounded) / max(1, len(rounded))
