"""The metaparameters of one stage as tables over its steps, so that a step only looks numbers up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..objective.levels import METAPARAMETERS
from ..plugins import Metaparameter, metaparameter_at
from ..spec.criterion_calls import metaparameters_of
from ..spec.models import Spec


@dataclass(frozen=True)
class MetaparameterTables:
    """One row a step: learning rate (steps,), and `values` (steps, 5) in the order of `METAPARAMETERS`.

    `structure_moves` (steps,) is false where the distributions of the structure are held.
    """

    rate: Tensor
    values: Tensor
    structure_moves: Tensor

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rate)

    def column(self, name: str) -> Tensor:
        """One metaparameter over the steps, (steps,)."""
        return self.values[:, METAPARAMETERS.index(name)]


def metaparameter_tables(
    spec: Spec, stage: int, stages: int, dtype: torch.dtype, device: torch.device
) -> MetaparameterTables:
    """Tables of stage `stage` of `stages`, whose settings are `spec`.

    A learning rate given as a number decays by ½ (1 + cos(π t / steps)) unless `decay` is none. The structure is held
    for a share `structure_warmup` of the first stage.
    """
    steps = spec.optimizer.inner.steps

    def table(value: Metaparameter) -> Tensor:
        values = [metaparameter_at(value, step, steps, stage, stages) for step in range(steps)]
        return torch.tensor(values, dtype=dtype, device=device)

    inner = spec.optimizer.inner
    rate = table(inner.lr)
    if inner.decay == "cosine" and isinstance(inner.lr, float):
        rate = rate * cosine_decay(steps).to(rate)
    held = round(inner.structure_warmup * steps) if stage == 0 else 0
    moves = torch.arange(steps, device=device) >= held
    columns = metaparameters_of(spec)
    values = torch.stack([table(columns[name]) for name in METAPARAMETERS], dim=1)
    return MetaparameterTables(rate, values, moves)


def cosine_decay(steps: int) -> Tensor:
    """½ (1 + cos(π t / steps)) for t = 0, …, steps − 1, in float64."""
    progress = torch.arange(steps, dtype=torch.float64) / steps
    return 0.5 * (1 + (math.pi * progress).cos())
