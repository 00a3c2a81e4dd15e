"""The program of a stage's steps with what all steps have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .inner_method import InnerMethod, State
from .members_of_numbers import members_of
from .open_stage import OpenStage
from .program import Program, program_for
from .step import Inputs, StepTerms, make_step


@dataclass
class Moving:
    """What a step changes in place: the flat vector (P,), what the optimiser keeps, and `diverged_at` (M,)."""

    state: Tensor
    kept: State
    diverged_at: Tensor

    @classmethod
    def of(cls, state: Tensor, members: int, inner: InnerMethod) -> Moving:
        """Before the first step from a vector, which is changed itself."""
        diverged_at = torch.full((members,), -1, dtype=torch.int64, device=state.device)
        return cls(state, inner.start(state), diverged_at)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of it by names of its own: for checkpoints."""
        kept = {f"inner/{name}": value for name, value in self.kept.items()}
        return {"state": self.state, "diverged_at": self.diverged_at, **kept}


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
        stage = self.stage
        self.member_of = members_of(stage.objectives.bound, stage.layout).to(stage.start.device)

    def __call__(self, moving: Moving, step: int, point: Inputs, moves: bool = True) -> StepTerms:
        """The terms before a step at `point`, and the step itself; without `moves` by a rate of 0."""
        stage, tables = self.stage, self.stage.inputs.tables
        arguments = (
            moving.state, moving.kept, moving.diverged_at, self.numbers[step],
            tables.rate[step] if moves else self.no_rate, tables.structure_moves[step],
            stage.of_structure, stage.of_h, stage.limit, self.member_of, *point,
        )  # fmt: skip
        if self.program is None:
            shapes = [(value.shape, value.dtype) for value in point[3:5]]
            signature = f"train|{stage.setup}|{self.samples}|{self.levels}|{self.inner.signature}|{shapes}"
            function = make_step(stage.objectives, self.levels, self.inner)
            self.program = program_for(signature, function, arguments, stage.inputs.execution.compiled)
        terms: StepTerms = self.program(*arguments)
        return terms
