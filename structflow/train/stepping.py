"""The program of a stage's steps with what all steps have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..objective.bound import Terms
from .inner_method import InnerMethod, OptimizerState
from .open_stage import OpenStage
from .program import program_for
from .step import Step, StepControl, StepInputs, StepState, make_step


def begun(values: Tensor, members: int, inner: InnerMethod) -> StepState:
    """The state before the first step from a vector, which is changed itself."""
    diverged_at = torch.full((members,), -1, dtype=torch.int64, device=values.device)
    return StepState(OptimizerState(values, inner.start(values)), diverged_at)


@dataclass
class Stepping:
    """Steps of a stage by one program, which is made at the first step; `levels` is as in `make_step`."""

    stage: OpenStage
    inner: InnerMethod
    levels: int
    program: Step | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Numbers of the steps, on the device."""
        tables = self.stage.inputs.setup.tables
        self.numbers = torch.arange(tables.steps, device=tables.rate.device)

    def __call__(self, state: StepState, step: int, inputs: StepInputs, moves: bool = True) -> Terms:
        """The terms before a step with these inputs, and the step itself; without `moves`, at a rate of 0."""
        stage, tables = self.stage, self.stage.inputs.setup.tables
        rate = tables.rate[step] if moves else torch.zeros_like(tables.rate[step])
        arguments = (state, StepControl(self.numbers[step], rate, tables.structure_moves[step]), stage.entries, inputs)
        if self.program is None:
            configuration = ("train", stage.configuration, self.levels, self.inner.signature)
            function = make_step(stage.objectives, self.levels, self.inner)
            self.program = program_for(configuration, function, arguments, stage.inputs.setup.execution.compiled)
        return self.program(*arguments)
