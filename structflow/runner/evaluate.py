"""The task that estimates the evidence of the members picked from one batch, with fresh noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..evidence.complexity import complexities
from ..evidence.criterion import compare
from ..evidence.estimates import Estimated, estimate_evidence
from ..evidence.metrics import member_metrics
from ..evidence.robustness import member_robustness
from ..evidence.row_sampling import row_sampling_error
from ..evidence.trained import TrainedPopulation
from ..objective.subset import subset_parameters
from ..plan.batching import Batch, make_batches
from ..plan.tasks import Task
from ..spec.models import Spec
from ..store.run_directory import Found
from .context import RunContext
from .parents import batch_in_slot, parameters_in
from .relevance import member_relevances
from .select import canonical
from .train import open_probabilities

ROW_TERMS = "rows/log_likelihood"
"""The array of a record that holds `row_terms`, where rows were sampled."""


def evaluate(context: RunContext, task: Task) -> Found:
    """Evidence by every estimator, complexities and metrics of each picked member, and its posterior."""
    last = len(context.stages(task.setting)) - 1
    parent = Task("train", task.setting, task.round, last, task.slot).name
    picked = context.directory.record(Task("select", task.setting).name).payload["picked"].get(parent, [])
    batch = batch_in_slot(context, task)
    if batch is None or not picked:
        return Found({"empty": True})
    spec = context.round_stages(task.setting, task.round)[-1]
    bound = context.bound(context.population(batch, spec), spec)
    parameters = parameters_in(context.directory.arrays(context.directory.record(parent)))
    members = tuple(batch.members[number] for number in picked)
    (smaller,) = make_batches(context.study.graph, members, len(members))
    order = [batch.members.index(member) for member in smaller.members]
    population = context.population(smaller, spec)
    parameters = subset_parameters(parameters, bound, population, order)
    trained = context.trained(context.bound(population, spec), parameters, smaller.members, task.setting, task.round)
    sampled = context.trained(
        context.bound(population, spec, integrate=False), parameters, smaller.members, task.setting, task.round
    )
    by_row = row_terms(trained, spec, context.study.dataset.n_train)
    evaluations = evaluate_members(context, trained, sampled, task, by_row)
    relevances = member_relevances(context, trained, task)
    for evaluation, curves in zip(evaluations, relevances.curves, strict=True):
        evaluation["relevance"] = curves
    arrays = {f"parameter/{name}": value.cpu().numpy() for name, value in trained.parameters.items()}
    arrays.update(relevances.arrays)
    if by_row is not None:
        arrays[ROW_TERMS] = by_row
    payload = {"empty": False, "batch": smaller.as_json(), "members": evaluations}
    return Found(payload, arrays)


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
    by_row: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """For every member a mapping with what `show` reports of it, in the target's original units.

    `by_row` (M, rows) are the log likelihoods of a sample of rows: standard errors then hold the error of sampling,
    and `noise_se` is that of the score without it.
    """
    spec = context.round_stages(task.setting, task.round)[-1]
    samples, dataset = spec.evidence.samples, context.study.dataset
    shift = dataset.n_train * float(np.log(dataset.target_scale).sum())
    estimates = estimate_evidence(trained, spec, shift)
    none = Estimated(np.full(trained.size, np.nan), np.full(trained.size, np.nan), {})
    first = next(iter(estimates.values()), none)
    score, score_error = first.value, first.standard_error
    if spec.objective.preset != "evidence":
        score, score_error = final_scores(context, trained, spec, task)
    noise_error = score_error
    if by_row is not None:
        row_error = row_sampling_error(by_row, dataset.n_train)
        estimates = {name: with_row_error(each, row_error) for name, each in estimates.items()}
        first, score_error = with_row_error(first, row_error), np.hypot(score_error, row_error)
    found = {name: value.cpu().numpy() for name, value in complexities(trained, samples).items()}
    population = trained.bound.population
    rows = {"train": dataset.train(), "test": dataset.test()}
    metrics = {name: member_metrics(sampled, part, samples, name) for name, part in rows.items()}
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
                **{name: value[number] for name, value in found.items()},
                "q_probability": chances[number] or {},
                "hyperparameters": hyperparameters(trained, number),
                "metrics": {name: values[number] for name, values in metrics.items()},
                "robustness": {name: values[number] for name, values in noisy.items()},
            }
        )
    return evaluations


def final_scores(
    context: RunContext, trained: TrainedPopulation, spec: Spec, task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """Score and standard error by the preset of (L, Q), (M,) each, in the target's original units.

    With held-out rows they are those that restarts were chosen by: a point posterior has no noise, and only the folds
    know them.
    """
    dataset = context.study.dataset
    shift = float(np.log(dataset.target_scale).sum())
    weights = context.fold_weights(tuple(replace(member, fold=1) for member in trained.bound.population.members), spec)
    if weights is None:
        compared = compare(trained, spec, spec.evidence.samples, "score")
        return compared.score.cpu().numpy() - dataset.n_train * shift, compared.standard_error.cpu().numpy()
    selected = context.directory.record(Task("select", task.setting).name).payload["structures"]
    best = {canonical(item["structure"]): max_of(item["scores"]) for item in selected if item["structure"] is not None}
    judged = dataset.n_train if spec.objective.preset == "cross_validation" else int(weights.held_out[0].sum())
    members = trained.bound.population.members
    scores = [best[member.structure.canonical] for member in members if member.structure is not None]
    return np.array(scores) - judged * shift, np.zeros(len(scores))


def max_of(scores: Sequence[float | None]) -> float:
    """The best of the scores of members that didn't diverge."""
    return max(score for score in scores if score is not None)


def hyperparameters(trained: TrainedPopulation, member: int) -> dict[str, Any]:
    """The learned hyperparameters that belong to a member as a whole, such as its shared log precision."""
    names = ("log_precision", "structure_temperature")
    return {
        name: value[member].tolist()
        for name, value in trained.parameters.items()
        if name in names or name.startswith("likelihood/")
    }


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
            parameters = parameters_in(context.directory.arrays(record))
            trained, sampled = (
                context.trained(
                    context.bound(population, spec, integrate), parameters, batch.members, setting, round_index
                )
                for integrate in (True, False)
            )
            yield Evaluated(trained, sampled, record.payload["members"], task)
