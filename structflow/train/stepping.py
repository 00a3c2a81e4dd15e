"""The program of a stage's steps with what all steps have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .inner_method import InnerMethod
from .open_stage import OpenStage
from .program import Program, program_for
from .step import Inputs, StepTerms, make_step


@dataclass
class Moving:
    """What a step changes in place: the flat vector (P,), the inner method's state and `diverged_at` (M,)."""

    state: Tensor
    first: Tensor
    second: Tensor
    diverged_at: Tensor

    @classmethod
    def of(cls, state: Tensor, members: int) -> Moving:
        """Before the first step from a vector, which is changed itself."""
        diverged_at = torch.full((members,), -1, dtype=torch.int64, device=state.device)
        return cls(state, torch.zeros_like(state), torch.zeros_like(state), diverged_at)


@dataclass
class Stepping:
    """Steps of a stage by one program, which is made at the first step; `levels` and `samples` are as in `train`."""

    stage: OpenStage
    inner: InnerMethod
    levels: int
    samples: int
    program: Program | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Numbers of the steps, on the device."""
        tables = self.stage.inputs.tables
        self.numbers = torch.arange(tables.steps, device=tables.rate.device)
        self.no_rate = torch.zeros_like(tables.rate[:1]).sum()

    def __call__(self, moving: Moving, step: int, point: Inputs, moves: bool = True) -> StepTerms:
        """The terms before a step at `point`, and the step itself; without `moves` by a rate of 0."""
        stage, tables = self.stage, self.stage.inputs.tables
        arguments = (
            moving.state, moving.first, moving.second, moving.diverged_at, self.numbers[step],
            tables.rate[step] if moves else self.no_rate, tables.structure_moves[step],
            stage.of_structure, stage.of_h, stage.limit, *point,
        )  # fmt: skip
        if self.program is None:
            shapes = [(value.shape, value.dtype) for value in point[3:5]]
            signature = f"train|{stage.setup}|{self.samples}|{self.levels}|{self.inner}|{shapes}"
            function = make_step(stage.objectives, self.levels, self.inner)
            self.program = program_for(signature, function, arguments, stage.inputs.execution.compiled)
        terms: StepTerms = self.program(*arguments)
        return terms
