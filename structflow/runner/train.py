"""The task that trains one batch of members through one stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..evidence.trained import TrainedPopulation, mean_and_standard_error
from ..plan.batching import Batch
from ..plan.tasks import Task
from ..spec.models import Spec
from ..spec.structures import Structure
from ..store.run_directory import Found
from ..train.conditioning import start_at_posterior
from ..train.metaparameters import metaparameter_tables
from ..train.trainer import Minibatching, TrainingData, train
from .context import RunContext

SELECTION_SHARE = 8
"""Restarts are compared on this part of the samples that evidence is estimated with, and on other noise."""


def train_batch(context: RunContext, task: Task, on_step: Callable[[int], None] | None = None) -> Found:
    """Train the batch in the task's slot, warm-started from the stage before; an empty slot passes through."""
    batch = batch_in_slot(context, task)
    if batch is None:
        return Found({"empty": True})
    stages = context.stages(task.setting)
    spec = stages[task.stage]
    population = context.population(batch, spec)
    bound = context.bound(population, spec)
    execution = context.execution
    first_keys = context.keys(batch.members, task.setting, task.round, 0)
    theta, hyperparameters = bound.start(first_keys)
    parameters = {**theta, **hyperparameters}
    diverged = np.full(population.size, -1)
    x, y = (torch.from_numpy(array).to(execution.device) for array in context.study.dataset.train())
    parameters = start_at_posterior(bound, parameters, x, y)
    if task.stage > 0:
        before = context.directory.record(Task("train", task.setting, task.round, task.stage - 1, task.slot).name)
        parameters = warm_start(parameters, context.directory.arrays(before))
        diverged = np.array(before.payload["diverged_at"])
    round_name = context.plan.settings[task.setting].rounds[task.round].name
    result = train(
        bound,
        parameters,
        context.keys(batch.members, task.setting, task.round, task.stage),
        TrainingData(x.to(execution.dtype), y.to(execution.dtype)),
        metaparameter_tables(spec, task.stage, len(stages), execution.dtype, execution.device),
        spec.optimizer.inner.samples,
        Minibatching(spec.optimizer.inner.batch_size, spec.seed, f"{round_name}/{task.stage}"),
        execution,
        on_step,
    )
    diverged = np.where(diverged >= 0, diverged, result.diverged_at)
    payload: dict[str, Any] = {
        "empty": False,
        "members": [
            {"structure": None if m.structure is None else m.structure.as_dict(), "restart": m.restart}
            for m in batch.members
        ],
        "diverged_at": diverged.tolist(),
    }
    arrays = {f"parameter/{name}": value.cpu().numpy() for name, value in result.parameters.items()}
    arrays["trajectory/steps"] = result.trajectory.steps
    arrays.update({f"trajectory/{name}": value for name, value in result.trajectory.terms.items()})
    if task.stage == len(stages) - 1:
        trained = context.trained(bound, result.parameters, batch.members, task.setting, task.round)
        payload["scores"] = selection_scores(trained, spec, diverged)
        payload["rounded"] = rounded_structures(context, trained)
    return Found(payload, arrays)


def batch_in_slot(context: RunContext, task: Task) -> Batch | None:
    """The batch that the round's decision put into the slot, if any."""
    decision = context.directory.record(Task("decide", task.setting, task.round).name).payload["batches"]
    return Batch.from_json(decision[task.slot]) if task.slot < len(decision) else None


def warm_start(fresh: dict[str, torch.Tensor], stored: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Parameters of the stage before, where this stage has them in the same shape; fresh ones elsewhere."""
    started = dict(fresh)
    for name, value in fresh.items():
        earlier = stored.get(f"parameter/{name}")
        if earlier is not None and earlier.shape == tuple(value.shape):
            started[name] = torch.from_numpy(earlier).double()
    return started


def selection_scores(trained: TrainedPopulation, spec: Spec, diverged: np.ndarray) -> list[float | None]:
    """The bound of every member with all c = 1, on noise kept for choosing among restarts; None where it diverged."""
    samples = max(16, spec.evidence.samples // SELECTION_SHARE)
    mean, _ = mean_and_standard_error(terms.bound for terms in trained.sample_terms(samples, "select"))
    scores = mean.cpu().numpy()
    usable = np.isfinite(scores) & (diverged < 0)
    return [float(score) if ok else None for score, ok in zip(scores, usable, strict=True)]


def rounded_structures(context: RunContext, trained: TrainedPopulation) -> list[dict[str, Any] | None]:
    """The structure every relaxed member rounds to; None for discrete ones."""
    population = trained.bound.population
    if not population.is_relaxed:
        return [None] * population.size
    probabilities = trained.bound.structure.rounding_probabilities(trained.parameters)
    tables = {key: value.cpu().numpy() for key, value in probabilities.items()}
    rounded: list[Structure] = []
    for member in range(population.size):
        weights = [
            tables[edge.key][member].tolist() if edge.key in tables else [1.0] * len(edge.names)
            for edge in context.study.space.edges
        ]
        rounded.append(context.study.space.round(weights))
    return [structure.as_dict() for structure in rounded]
