"""The metaparameters of one stage as tables over its steps, so that a step only looks numbers up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..plugins import Metaparameter, metaparameter_at
from ..spec.models import Spec


@dataclass(frozen=True)
class MetaparameterTables:
    """One value a step, (steps,): learning rate, c_reg and the temperature c_temp of the structure prior.

    `structure_moves` (steps,) is false where the distributions of the structure are held.
    """

    rate: Tensor
    c_reg: Tensor
    c_temp: Tensor
    structure_moves: Tensor

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rate)


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
        progress = torch.arange(steps, dtype=torch.float64) / steps
        rate = rate * (0.5 * (1 + (math.pi * progress).cos())).to(rate)
    held = round(inner.structure_warmup * steps) if stage == 0 else 0
    moves = torch.arange(steps, device=device) >= held
    return MetaparameterTables(rate, table(spec.objective.c_reg), table(spec.prior.structure.temperature), moves)
