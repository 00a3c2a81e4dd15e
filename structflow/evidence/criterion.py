"""What restarts and structures are compared by: log evidence, or what the preset of (L, Q) says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..objective.bound import Terms
from ..objective.levels import METAPARAMETERS, Metaparameters, outer_level
from ..plugins import Estimate, metaparameter_at
from ..spec.models import Spec
from ..spec.presets import COUNTING_PRESETS, HELD_OUT_PRESETS, metaparameters_of
from .complexity import informative_weights
from .trained import TrainedPopulation


@dataclass(frozen=True)
class Compared:
    """For every member, (M,): the score that ranks, its standard error, and the value of the outer level Q."""

    score: Tensor
    standard_error: Tensor
    objective: Tensor


def compare(
    trained: TrainedPopulation,
    spec: Spec,
    samples: int,
    phase: str,
    held_out: Tensor | None = None,
    stage: int = 0,
    stages: int = 1,
) -> Compared:
    """The members' scores by the spec's preset, and Q at the end of the stage, from `samples` samples of noise `phase`.

    `spec` is that of stage `stage` of `stages`. `held_out` (M, rows) is 1 for the rows that a member of `hold_out` or
    `cross_validation` is judged by.
    """
    chunks = list(trained.sample_terms(samples, phase, held_out))
    at = final_metaparameters(spec, trained, stage, stages)
    score = Estimate.of_samples(values(terms, spec) for terms in chunks)
    q = Estimate.of_samples(outer_level(terms, at) for terms in chunks)
    return Compared(score.value - penalty(trained, spec), score.standard_error, q.value)


def values(terms: Terms, spec: Spec) -> Tensor:
    """What is averaged over samples, (M, S): the bound with all c = 1, or the log likelihood, or log p(y, w)."""
    if spec.objective.preset in ("maximum_likelihood", *HELD_OUT_PRESETS, *COUNTING_PRESETS):
        return terms.log_likelihood
    return terms.bound


def penalty(trained: TrainedPopulation, spec: Spec) -> Tensor:
    """k for AIC, k/2 · log m for BIC, (M,): k weights that the data inform and the likelihood's own parameters."""
    preset = spec.objective.preset
    if preset not in COUNTING_PRESETS:
        return trained.x.new_zeros(trained.size)
    own = trained.bound.likelihood_parameters(trained.parameters)
    count = informative_weights(trained, spec.objective.threshold) + sum(value[0].numel() for value in own.values())
    return count if preset == "aic" else 0.5 * count * torch.tensor(float(trained.rows), device=count.device).log()


def final_metaparameters(spec: Spec, trained: TrainedPopulation, stage: int, stages: int) -> Metaparameters:
    """The metaparameters at the last step of a stage."""
    steps = spec.optimizer.inner.steps
    columns = metaparameters_of(spec)
    row = [metaparameter_at(columns[name], steps - 1, steps, stage, stages) for name in METAPARAMETERS]
    return Metaparameters.of_row(torch.tensor(row, dtype=torch.float64, device=trained.x.device))
