"""The task that estimates the evidence of the members picked from one batch, with fresh noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from pydantic import JsonValue

from ..evidence.complexity import complexities
from ..evidence.criterion import compare, final_metaparameters
from ..evidence.estimates import Estimated, estimators_for
from ..evidence.metrics import member_metrics
from ..evidence.robustness import member_robustness
from ..evidence.row_sampling import row_sampling_error
from ..evidence.trained import TrainedPopulation
from ..objective.members import Own
from ..objective.parameters import Role
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.criterion_calls import combined_score, criterion_of, fold_count
from ..spec.models import Spec
from ..store.digest import digest_of_arrays, digest_of_json
from ..store.entries import EvaluationEntry
from ..store.records import (
    Convergence,
    EvaluatedMember,
    EvaluateRecord,
    Evaluation,
    FailedMember,
    Pruning,
    SelectRecord,
)
from .context import RunContext
from .decided import DecidedBatch, decided_batch, trainings
from .estimators_apart import EstimatedApart, estimate_apart
from .failing_starts import Start, starts_of, without_failing
from .found import Found
from .populations import parameters_of, part_of, population_of
from .relevance import has_curves, member_relevances
from .scores import open_probabilities
from .select import canonical, named
from .shared_records import derived, selection_record
from .training_keys import evaluation_key

ROW_TERMS = "rows/log_likelihood"
"""The array of an evaluation that holds `row_terms`, where rows were sampled."""


def evaluate(context: RunContext, task: Task) -> Found:
    """Evidence by every estimator, complexities and metrics of each picked member.

    What was found before is read. Members whose evaluation raises are listed under `failed`, with the error. Where
    there are several and all of them raise, the error ends the task.
    """
    decided = decided_batch(context.directory, task)
    picked = {item.best for item in selection_record(context.directory, task.setting).structures}
    keys = {} if decided is None else decided.keys_after(task.stage)
    members = [member for member, key in keys.items() if key in picked]
    if decided is None or not members:
        return Found(EvaluateRecord())
    spec, store = context.round_stages(task.setting, task.round)[-1], context.directory.evaluations
    wanted = {
        member: evaluation_key(keys[member], spec, has_curves(context, member, spec, task.setting))
        for member in members
    }
    known = store.find(wanted.values())
    failed: list[FailedMember] = []

    def work(starts: Sequence[Start]) -> dict[Candidate, MemberEvaluation]:
        new = [member for (member,) in starts if wanted[member] not in known]
        own = parameters_of(context.directory, [keys[member] for member in new])
        return evaluate_members(context, dict(zip(new, own, strict=True)), task) if new else {}

    def exclude(found: Mapping[Start, str]) -> None:
        failed.extend(
            FailedMember(structure=named(start[0].structure), restart=start[0].restart, error=error)
            for start, error in found.items()
        )

    found = without_failing(starts_of(members), work, lambda: [work], exclude, all_may_fail=False) or {}
    entries = [
        EvaluationEntry(key=wanted[member], digest=digest_of_arrays(each.arrays), found=each.evaluation)
        for member, each in found.items()
    ]
    known.update({entry.key: entry for entry in entries})
    record = EvaluateRecord(
        members=tuple(
            EvaluatedMember(
                key=keys[member],
                evaluation=key,
                digest=digest_of_json([known[key].digest, known[key].found.model_dump(mode="json")]),
                convergence=convergence_of(context, task, decided, member),
            )
            for member, key in wanted.items()
            if key in known
        ),
        failed=tuple(failed),
    )
    return Found(record, entries, [each.arrays for each in found.values()])


def convergence_of(context: RunContext, task: Task, decided: DecidedBatch, member: Candidate) -> Convergence:
    """The measure of convergence of a member; with folds that of the fold with the most to gain."""
    keys = [key for other, key in decided.keys_after(task.stage).items() if replace(other, fold=member.fold) == member]
    measures = [entry.convergence for entry in context.directory.members.read(keys)]
    return max((measure for measure in measures if measure is not None), key=most_to_gain)


def most_to_gain(measure: Convergence) -> float:
    """What is left to gain, ∞ where that isn't known."""
    return np.inf if measure.left_to_gain is None else measure.left_to_gain


def row_terms(trained: TrainedPopulation, spec: Spec, n_train: int) -> np.ndarray | None:
    """E_q log p(y_i | x_i, w) of the rows of a sample, (M, rows); None where all rows are in memory."""
    if len(trained.x) == n_train:
        return None
    return trained.row_log_likelihood(spec.evidence.samples, "rows").cpu().numpy()


def with_row_error(found: Estimated, row_error: np.ndarray) -> Estimated:
    """An estimate whose standard error has that of sampling rows in it."""
    return replace(found, standard_error=np.hypot(found.standard_error, row_error))


@dataclass(frozen=True)
class MemberEvaluation:
    """What `show` reports of a member, in the target's original units, and arrays that belong to it."""

    evaluation: Evaluation
    arrays: dict[str, np.ndarray]


def evaluate_members(
    context: RunContext, members: Mapping[Candidate, Own], task: Task
) -> dict[Candidate, MemberEvaluation]:
    """Evaluate members of a batch together.

    An estimator that raises for some members has no value for them. Where rows were sampled, standard errors hold the
    error of sampling, and `noise_se` is that of the score without it.
    """
    trained, sampled = (population_of(context, task, members, integrate) for integrate in (True, False))

    def part(numbers: Sequence[int]) -> TrainedPopulation:
        return trained if len(numbers) == trained.size else part_of(context, task, trained, numbers)

    spec = context.round_stages(task.setting, task.round)[-1]
    samples, dataset = spec.evidence.samples, context.study.dataset
    shift = dataset.n_train * float(np.log(dataset.target_scale).sum())
    apart: dict[str, EstimatedApart] = {
        estimator.label: estimate_apart(estimator, part, range(trained.size))
        for estimator in estimators_for(trained, spec, shift)
    }
    estimates = {name: each.found for name, each in apart.items()}
    none = Estimated(np.full(trained.size, np.nan), np.full(trained.size, np.nan), {})
    first = next(iter(estimates.values()), none)
    score, score_error = first.value, first.standard_error
    unsure_score: Mapping[int, str] = {}
    if not criterion_of(spec).by_estimator:
        score, score_error, unsure_score = final_scores(context, trained, sampled, spec, task)
    noise_error, by_row = score_error, row_terms(trained, spec, dataset.n_train)
    if by_row is not None:
        row_error = row_sampling_error(by_row, dataset.n_train)
        estimates = {name: with_row_error(each, row_error) for name, each in estimates.items()}
        first, score_error = with_row_error(first, row_error), np.hypot(score_error, row_error)
    found = {name: value.cpu().numpy() for name, value in complexities(trained, samples).items()}
    population = trained.bound.population
    rows = {"train": dataset.train(), "test": dataset.test()}
    metrics = {name: member_metrics(sampled, each, samples, name, spec.metrics) for name, each in rows.items()}
    noisy = {
        name: member_robustness(sampled, each, samples, name, spec.robustness, spec.seed) for name, each in rows.items()
    }
    chances = open_probabilities(context, trained)
    relevances = member_relevances(context, trained, task)
    evaluations = {}
    for number, member in enumerate(population.members):
        curves = relevances.get(member)
        evaluation = Evaluation(
            structure=named(member.structure),
            restart=member.restart,
            pruned=pruning(trained, number) if member.is_pruned else None,
            score=score[number],
            score_se=score_error[number],
            noise_se=noise_error[number],
            log_evidence=first.value[number],
            log_evidence_se=first.standard_error[number],
            evidence={name: each.value[number] for name, each in estimates.items()},
            evidence_se={name: each.standard_error[number] for name, each in estimates.items()},
            evidence_missing={name: each.missing[number] for name, each in estimates.items() if number in each.missing},
            evidence_unsure={
                **{name: each.unsure[number] for name, each in estimates.items() if number in each.unsure},
                **({spec.criterion.type: unsure_score[number]} if number in unsure_score else {}),
            },
            evidence_raised={name: each.raised[number] for name, each in apart.items() if number in each.raised},
            q_probability=chances[number] or {},
            hyperparameters=hyperparameters(trained, number),
            metrics={name: values[number] for name, values in metrics.items()},
            robustness={name: values[number] for name, values in noisy.items()},
            relevance=None if curves is None else curves.curves,
            **{name: value[number] for name, value in found.items()},
        )
        arrays = {} if by_row is None else {ROW_TERMS: by_row[number]}
        evaluations[member] = MemberEvaluation(evaluation, arrays | ({} if curves is None else curves.arrays))
    return evaluations


def final_scores(
    context: RunContext, trained: TrainedPopulation, sampled: TrainedPopulation, spec: Spec, task: Task
) -> tuple[np.ndarray, np.ndarray, Mapping[int, str]]:
    """Score and standard error by the criterion, (M,) each, in the target's original units, and why errors are NaN.

    With held-out rows they are those that restarts were chosen by: a point posterior has no noise, and only the folds
    know them.
    """
    dataset = context.study.dataset
    shift = float(np.log(dataset.target_scale).sum())
    fold_of_row = context.fold_of_row(spec)
    if fold_of_row is None:
        at = final_metaparameters(spec, trained)
        compared = compare(trained, spec, at, spec.evidence.samples, "score", lambda: sampled)
        score, error = (part.cpu().numpy() for part in (compared.score, compared.standard_error))
        return score - dataset.n_train * shift, error, compared.unsure
    best = derived(context.directory, Task("select", task.setting), SelectRecord, best_scores)
    judged = rows_of_score(spec, fold_of_row)
    members = trained.bound.population.members
    scores = [
        best[canonical(member.structure.as_dict(), member.is_pruned)]
        for member in members
        if member.structure is not None
    ]
    return np.array(scores) - judged * shift, np.zeros(len(scores)), {}


def rows_of_score(spec: Spec, fold_of_row: np.ndarray) -> float:
    """How many rows the score is a log density of."""
    if not criterion_of(spec).of_parts:
        return float((fold_of_row > 0).sum())
    rows = len(fold_of_row)
    parts = [rows - float((fold_of_row == fold + 1).sum()) for fold in range(fold_count(spec))]
    return combined_score(spec, float(rows), parts)


def best_scores(selection: SelectRecord) -> dict[str, float]:
    """The best score of every structure that has one, by canonical name."""
    return {
        canonical(item.structure, item.pruned): max(score for score in item.scores if score is not None)
        for item in selection.structures
        if item.structure is not None and item.best is not None
    }


def pruning(trained: TrainedPopulation, number: int) -> Pruning:
    """How a pruned member lost weights, how many it had and how many are left."""
    removed, weights = trained.bound.population.members[number].removed, trained.weights
    assert removed is not None
    total, left = (weights.places < weights.total).sum(1), weights.used.sum(1)
    return Pruning(**asdict(removed), weights=int(total[number]), left=int(left[number]))


def hyperparameters(trained: TrainedPopulation, member: int) -> dict[str, JsonValue]:
    """The learned hyperparameters that belong to a member as a whole, such as its shared log precision."""
    roles = (Role.PRECISION, Role.STRUCTURE_TEMPERATURE, Role.LIKELIHOOD)
    known = trained.bound.by_label
    return {
        label: value[member].tolist()
        for label, value in trained.bound.labelled(trained.parameters).items()
        if known[label].role in roles and known[label].group is None
    }


@dataclass(frozen=True)
class Evaluated:
    """Evaluated members of a batch as a population again, with what was found of each, in its order.

    `keys` are those of the evaluations.
    """

    trained: TrainedPopulation
    sampled: TrainedPopulation
    members: list[Evaluation]
    keys: list[str]
    task: Task


def load_evaluated(context: RunContext, setting: int) -> Iterator[Evaluated]:
    """The evaluated members of a setting, batch by batch."""
    for trained_in in trainings(context.plan, setting):
        task = replace(trained_in, kind="evaluate")
        record, decided = context.directory.read(task.name, EvaluateRecord), decided_batch(context.directory, task)
        if not record.members or decided is None:
            continue
        by_key = dict(zip(decided.after(task.stage), decided.members, strict=True))
        own = parameters_of(context.directory, [member.key for member in record.members])
        members = dict(zip((by_key[member.key] for member in record.members), own, strict=True))
        trained, sampled = (population_of(context, task, members, integrate) for integrate in (True, False))
        keys = {by_key[member.key]: member.evaluation for member in record.members}
        ordered = [keys[member] for member in trained.bound.population.members]
        found = [entry.found for entry in context.directory.evaluations.read(ordered)]
        yield Evaluated(trained, sampled, found, ordered, task)
