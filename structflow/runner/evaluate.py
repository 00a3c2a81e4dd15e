"""The task that estimates the evidence of the members picked from one batch, with fresh noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ..evidence.complexity import complexities
from ..evidence.criterion import compare
from ..evidence.estimates import Estimated, estimators_for
from ..evidence.metrics import member_metrics
from ..evidence.robustness import member_robustness
from ..evidence.row_sampling import row_sampling_error
from ..evidence.trained import TrainedPopulation
from ..objective.bound import Bound
from ..objective.parameters import Parameters, Role
from ..objective.subset import subset_parameters
from ..plan.batching import Batch, make_batches
from ..plan.tasks import Task
from ..plugins import Candidate
from ..spec.criterion_calls import criterion_of
from ..spec.models import Spec
from ..store.run_directory import Found
from ..train.convergence import Convergence
from .context import RunContext
from .estimators_apart import EstimatedApart, Part, estimate_apart
from .failing_starts import Start, starts_of, without_failing
from .parents import is_parameter, parameters_in, trained_in_slot
from .relevance import member_relevances
from .reuse import earlier_evaluations
from .select import canonical
from .shared_records import derived, selection_record
from .train import CONVERGENCE, member_as_json, open_probabilities
from .training_keys import evaluation_key, keys_in

ROW_TERMS = "rows/log_likelihood"
"""The array of a record that holds `row_terms`, where rows were sampled."""


def evaluate(context: RunContext, task: Task) -> Found:
    """Evidence by every estimator, complexities and metrics of each picked member, and its posterior.

    What an earlier revision of the run found for a member is reused. Members whose evaluation raises are listed under
    `failed`, with the error; one that all of several raise stands.
    """
    last = len(context.stages(task.setting)) - 1
    parent = Task("train", task.setting, task.round, last, task.slot)
    picked = selection_record(context.directory, task.setting).payload["picked"].get(parent.name, [])
    batch = trained_in_slot(context, parent)
    if batch is None or not picked:
        return Found({"empty": True})
    failed: list[dict[str, Any]] = []

    def work(starts: Sequence[Start]) -> Found:
        return evaluate_together(context, task, batch, [member for start in starts for member in start])

    def exclude(found: Mapping[Start, str]) -> None:
        failed.extend({**member_as_json(start[0]), "error": error} for start, error in found.items())

    starts = starts_of(batch.members[number] for number in picked)
    found = without_failing(starts, work, lambda: [work], exclude, all_may_fail=False)
    if found is None:
        found = Found({"empty": True})
    return Found({**found.payload, "failed": failed}, found.arrays) if failed else found


def evaluate_together(context: RunContext, task: Task, batch: Batch, members: Sequence[Candidate]) -> Found:
    """The evaluation of some of the members of a trained batch, as a batch."""
    spec = context.round_stages(task.setting, task.round)[-1]
    bound = context.bound(context.population(batch, spec), spec)
    training = replace(task, kind="train")
    keys = keys_in(context, training)
    arrays = context.directory.arrays(context.directory.record(training.name), is_of_a_member)
    whole = TrainedBatch(batch, bound, parameters_in(arrays))
    smaller, trained, sampled = members_of(context, task, whole, members)
    by_row = row_terms(trained, spec, context.study.dataset.n_train)
    wanted = [evaluation_key(keys[member].digest, spec) for member in smaller.members]
    known = {} if spec.relevance is not None else earlier_evaluations(context)
    new = [member for member, key in zip(smaller.members, wanted, strict=True) if key not in known]
    evaluated = {key: known[key] for key in wanted if key in known}
    if len(new) == len(members):
        part = part_of(context, task, whole, smaller.members, trained)
        evaluated = dict(zip(wanted, evaluate_members(context, trained, sampled, task, part, by_row), strict=True))
    elif new:
        fewer, trained_anew, sampled_anew = members_of(context, task, whole, new)
        by_row_anew = row_terms(trained_anew, spec, context.study.dataset.n_train)
        part = part_of(context, task, whole, fewer.members, trained_anew)
        found = evaluate_members(context, trained_anew, sampled_anew, task, part, by_row_anew)
        keys_of_new = [wanted[smaller.members.index(member)] for member in fewer.members]
        evaluated.update(zip(keys_of_new, found, strict=True))
    evaluations = [evaluated[key] for key in wanted]
    relevances = member_relevances(context, trained, task)
    measures = convergence_of(arrays, batch.members, smaller.members)
    for evaluation, curves, measure in zip(evaluations, relevances.curves, measures, strict=True):
        evaluation.update(relevance=curves, convergence=measure)
    arrays = {f"parameter/{name}": value.cpu().numpy() for name, value in trained.parameters.items()}
    arrays.update(relevances.arrays)
    if by_row is not None:
        arrays[ROW_TERMS] = by_row
    payload = {"empty": False, "batch": smaller.as_json(), "members": evaluations, "keys": wanted}
    return Found(payload, arrays)


def is_of_a_member(name: str) -> bool:
    """Whether an array of a training record is a parameter or part of the measure of convergence."""
    return is_parameter(name) or name.startswith(f"{CONVERGENCE}/")


def convergence_of(
    arrays: Mapping[str, np.ndarray], batch: Sequence[Candidate], members: Sequence[Candidate]
) -> list[dict[str, float] | None]:
    """The measure of convergence of members of a batch, from its record's arrays.

    None where an earlier version trained them. With folds it is that of the fold with the most to gain.
    """
    names = [field.name for field in fields(Convergence)]
    if any(f"{CONVERGENCE}/{name}" not in arrays for name in names):
        return [None] * len(members)
    table = {name: arrays[f"{CONVERGENCE}/{name}"] for name in names}
    found: list[dict[str, float] | None] = []
    for member in members:
        own = [number for number, other in enumerate(batch) if replace(other, fold=member.fold) == member]
        worst = max(own, key=lambda number: float(np.nan_to_num(table["left_to_gain"][number], nan=np.inf)))
        found.append({name: float(values[worst]) for name, values in table.items()})
    return found


@dataclass(frozen=True)
class TrainedBatch:
    """A batch after its last stage."""

    batch: Batch
    bound: Bound
    parameters: Parameters


def members_of(
    context: RunContext, task: Task, whole: TrainedBatch, members: Sequence[Candidate]
) -> tuple[Batch, TrainedPopulation, TrainedPopulation]:
    """Some members of a batch as a batch of their own, with its population for estimates and for predictions."""
    spec = context.round_stages(task.setting, task.round)[-1]
    (smaller,) = make_batches(context.study.graph, members, len(members))
    population = context.population(smaller, spec)
    order = [whole.batch.members.index(member) for member in smaller.members]
    parameters = subset_parameters(whole.parameters, whole.bound, population, order)
    trained, sampled = (
        context.trained(
            context.bound(population, spec, integrate), parameters, smaller.members, task.setting, task.round
        )
        for integrate in (True, False)
    )
    return smaller, trained, sampled


def part_of(
    context: RunContext, task: Task, whole: TrainedBatch, members: Sequence[Candidate], trained: TrainedPopulation
) -> Part:
    """Some of the members that make up `trained`, by their numbers, as a population for estimates."""

    def part(numbers: Sequence[int]) -> TrainedPopulation:
        if len(numbers) == len(members):
            return trained
        return members_of(context, task, whole, [members[number] for number in numbers])[1]

    return part


def row_terms(trained: TrainedPopulation, spec: Spec, n_train: int) -> np.ndarray | None:
    """E_q log p(y_i | x_i, w) of the rows of a sample, (M, rows); None where all rows are in memory."""
    if len(trained.x) == n_train:
        return None
    return trained.row_log_likelihood(spec.evidence.samples, "rows").cpu().numpy()


def with_row_error(found: Estimated, row_error: np.ndarray) -> Estimated:
    """An estimate whose standard error has that of sampling rows in it."""
    return replace(found, standard_error=np.hypot(found.standard_error, row_error))


def evaluate_members(
    context: RunContext,
    trained: TrainedPopulation,
    sampled: TrainedPopulation,
    task: Task,
    part: Part,
    by_row: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """For every member a mapping with what `show` reports of it, in the target's original units.

    `part` makes populations of some of the members, for an estimator that raises for the others; it has no value there.
    `by_row` (M, rows) are the log likelihoods of a sample of rows: standard errors then hold the error of sampling,
    and `noise_se` is that of the score without it.
    """
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
    noise_error = score_error
    if by_row is not None:
        row_error = row_sampling_error(by_row, dataset.n_train)
        estimates = {name: with_row_error(each, row_error) for name, each in estimates.items()}
        first, score_error = with_row_error(first, row_error), np.hypot(score_error, row_error)
    found = {name: value.cpu().numpy() for name, value in complexities(trained, samples).items()}
    population = trained.bound.population
    rows = {"train": dataset.train(), "test": dataset.test()}
    metrics = {name: member_metrics(sampled, part, samples, name, spec.metrics) for name, part in rows.items()}
    noisy = {
        name: member_robustness(sampled, part, samples, name, spec.robustness, spec.seed) for name, part in rows.items()
    }
    chances = open_probabilities(context, trained)
    evaluations = []
    for number, member in enumerate(population.members):
        evaluations.append(
            {
                "structure": None if member.structure is None else member.structure.as_dict(),
                "restart": member.restart,
                **({"pruned": pruning(trained, number)} if member.is_pruned else {}),
                "score": score[number],
                "score_se": score_error[number],
                **({} if by_row is None else {"noise_se": noise_error[number]}),
                "log_evidence": first.value[number],
                "log_evidence_se": first.standard_error[number],
                "evidence": {name: each.value[number] for name, each in estimates.items()},
                "evidence_se": {name: each.standard_error[number] for name, each in estimates.items()},
                "evidence_missing": {
                    name: each.missing[number] for name, each in estimates.items() if number in each.missing
                },
                "evidence_unsure": {
                    **{name: each.unsure[number] for name, each in estimates.items() if number in each.unsure},
                    **({spec.criterion.type: unsure_score[number]} if number in unsure_score else {}),
                },
                "evidence_raised": {name: each.raised[number] for name, each in apart.items() if number in each.raised},
                **{name: value[number] for name, value in found.items()},
                "q_probability": chances[number] or {},
                "hyperparameters": hyperparameters(trained, number),
                "metrics": {name: values[number] for name, values in metrics.items()},
                "robustness": {name: values[number] for name, values in noisy.items()},
            }
        )
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
        compared = compare(trained, spec, spec.evidence.samples, "score", lambda: sampled)
        score, error = (part.cpu().numpy() for part in (compared.score, compared.standard_error))
        return score - dataset.n_train * shift, error, compared.unsure
    best = derived(context.directory, selection_record(context.directory, task.setting), best_scores)
    judged = int((fold_of_row > 0).sum())
    members = trained.bound.population.members
    scores = [
        best[canonical(member.structure.as_dict(), member.is_pruned)]
        for member in members
        if member.structure is not None
    ]
    return np.array(scores) - judged * shift, np.zeros(len(scores)), {}


def best_scores(selection: Mapping[str, Any]) -> dict[str, float]:
    """The best score of every structure that has one, by canonical name, from the payload of a selection."""
    return {
        canonical(item["structure"], item.get("pruned", False)): max_of(item["scores"])
        for item in selection["structures"]
        if item["structure"] is not None and item["best_restart"] is not None
    }


def pruning(trained: TrainedPopulation, number: int) -> dict[str, Any]:
    """How a pruned member lost weights, how many it had and how many are left."""
    removed, weights = trained.bound.population.members[number].removed, trained.weights
    assert removed is not None
    total, left = (weights.places < weights.total).sum(1), weights.used.sum(1)
    return {**asdict(removed), "weights": int(total[number]), "left": int(left[number])}


def max_of(scores: Sequence[float | None]) -> float:
    """The best of the scores of members that didn't diverge."""
    return max(score for score in scores if score is not None)


def hyperparameters(trained: TrainedPopulation, member: int) -> dict[str, Any]:
    """The learned hyperparameters that belong to a member as a whole, such as its shared log precision."""
    roles = (Role.PRECISION, Role.STRUCTURE_TEMPERATURE, Role.LIKELIHOOD)
    of_members = [name for name, each in trained.bound.parameters.items() if each.role in roles and each.group is None]
    return {name: trained.parameters[name][member].tolist() for name in of_members if name in trained.parameters}


@dataclass(frozen=True)
class Evaluated:
    """Evaluated members as a population again, with what was found of each."""

    trained: TrainedPopulation
    sampled: TrainedPopulation
    members: list[dict[str, Any]]
    task: Task
    """The task whose record holds them."""


def load_evaluated(context: RunContext, setting: int) -> Iterator[Evaluated]:
    """The evaluated members of a setting, batch by batch, from their records."""
    for round_index, planned in enumerate(context.plan.settings[setting].rounds):
        spec = context.round_stages(setting, round_index)[-1]
        for slot in range(planned.slots):
            task = Task("evaluate", setting, round_index, len(planned.steps) - 1, slot)
            record = context.directory.record(task.name)
            if record.payload["empty"]:
                continue
            batch = Batch.from_json(record.payload["batch"])
            population = context.population(batch, spec)
            parameters = parameters_in(context.directory.arrays(record, is_parameter))
            trained, sampled = (
                context.trained(
                    context.bound(population, spec, integrate), parameters, batch.members, setting, round_index
                )
                for integrate in (True, False)
            )
            yield Evaluated(trained, sampled, record.payload["members"], task)
