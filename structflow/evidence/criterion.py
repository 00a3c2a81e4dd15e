"""What restarts and structures are compared by: the score of the spec's criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..objective.bound import Terms
from ..objective.levels import METAPARAMETERS, Metaparameters, outer_level
from ..plugins import Estimate, metaparameter_at
from ..spec.criterion_calls import criterion_of, metaparameters_of
from ..spec.models import Spec
from .complexity import informative_weights
from .estimates import checked_estimate
from .trained import TrainedPopulation


@dataclass(frozen=True)
class Compared:
    """For every member, (M,): the score that ranks, its standard error, and the value of the outer level Q.

    `unsure` says by the number of the member why a standard error isn't known; it is NaN then.
    """

    score: Tensor
    standard_error: Tensor
    objective: Tensor
    unsure: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredPopulation:
    """What a criterion is given of trained members; see `plugins.ScoredMembers`.

    `sampled` makes the same members with a bound that samples all weights.
    """

    trained: TrainedPopulation
    terms: Sequence[Terms]
    sampled: Callable[[], TrainedPopulation]
    samples: int
    phase: str

    @property
    def size(self) -> int:
        """Number of members."""
        return self.trained.size

    @property
    def rows(self) -> int:
        """Number of training rows."""
        return self.trained.rows

    @property
    def row_weight(self) -> float:
        """How many training rows each row in memory stands for."""
        return self.trained.row_weight

    @property
    def likelihood_parameters(self) -> int:
        """How many parameters the likelihood learned for each member."""
        return sum(value[0].numel() for value in self.trained.parameters.theta.likelihood.values())

    @property
    def curved_evidence(self) -> Tensor | None:
        """Laplace's evidence of members whose q fits the curvature, (M,); None of others."""
        return self.trained.curved_evidence

    def informative_weights(self, threshold: float) -> Tensor:
        """How many weights of each member have a KL above the threshold, (M,)."""
        return informative_weights(self.trained, threshold)

    def row_log_likelihoods(self) -> Iterator[Tensor]:
        """log p(y_i | x_i, w_s, Γ_s) for blocks of training rows, (M, S, rows in the block)."""
        return self.sampled().row_draws(self.samples, self.phase)


def compare(
    trained: TrainedPopulation,
    spec: Spec,
    at: Metaparameters,
    samples: int,
    phase: str,
    sampled: Callable[[], TrainedPopulation],
    held_out: Tensor | None = None,
) -> Compared:
    """The members' scores by the spec's criterion, and Q at metaparameters, from `samples` samples of a `phase`.

    `sampled` is as in `ScoredPopulation`. `held_out` (M, rows) is 1 for the rows that a member is judged by where
    rows are held out. Raises `PluginError` where the criterion gives no scores.
    """
    chunks = list(trained.sample_terms(samples, phase, held_out))
    criterion = criterion_of(spec)
    members = ScoredPopulation(trained, chunks, sampled, samples, phase)
    with torch.no_grad():
        score = checked_estimate(criterion, "score", trained.size, spec.criterion, members)
    q = Estimate.of_samples(outer_level(terms, at) for terms in chunks)
    return Compared(score.value, score.standard_error, q.value, score.unsure)


def final_metaparameters(spec: Spec, trained: TrainedPopulation, stage: int = 0, stages: int = 1) -> Metaparameters:
    """The metaparameters at the last step of stage `stage` of `stages`, whose settings are `spec`."""
    steps = spec.optimizer.inner.steps
    columns = metaparameters_of(spec)
    row = [metaparameter_at(columns[name], steps - 1, steps, stage, stages) for name in METAPARAMETERS]
    return Metaparameters(*torch.tensor(row, dtype=torch.float64, device=trained.x.device))
