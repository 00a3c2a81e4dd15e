"""One training step of a population as a function of tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..model.population import Indices
from ..objective.bound import Bound, BoundInputs, Noise, Terms
from ..objective.divergence import AgainstTensors
from ..objective.levels import Metaparameters, inner_level, one_level, outer_level
from ..objective.parameters import Role
from .conditioning import Coordinates
from .entries import HYPERPARAMETERS, Entries
from .flat import FlatLayout
from .inner_method import InnerMethod, NumbersOfMembers, OptimizerState

LevelName = Literal["inner", "outer"]


class Constants(NamedTuple):
    """What is the same at every step of a stage, though not for other populations that share its programs.

    `against` is the set P; `whitening` are the matrices of the coordinates.
    """

    against: AgainstTensors
    indices: Indices
    whitening: dict[str, Tensor]


class StepInputs(NamedTuple):
    """What a point of the objective takes beside the parameters.

    `metaparameters` (5,) are in the order of `METAPARAMETERS`, `row_weights` (M, rows) weigh the rows of a level.
    """

    metaparameters: Tensor
    noise: Noise
    x: Tensor
    y: Tensor
    factor: Tensor
    row_weights: dict[LevelName, Tensor]
    constants: Constants


class StepState(NamedTuple):
    """What a step changes in place; `diverged_at` (M,) is the first step whose bound wasn't finite, or −1."""

    optimizer: OptimizerState
    diverged_at: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of it by names of its own: for checkpoints."""
        kept = {f"inner/{name}": value for name, value in self.optimizer.kept.items()}
        return {"state": self.optimizer.values, "diverged_at": self.diverged_at, **kept}


class StepControl(NamedTuple):
    """What governs one step, 0-d each: its number, the learning rate, and whether q(Γ) and p(Γ) move."""

    number: Tensor
    rate: Tensor
    structure_moves: Tensor


@dataclass(frozen=True)
class Objectives:
    """The objective of a population in flat coordinates, its inputs all tensors."""

    bound: Bound
    layout: FlatLayout
    coordinates: Coordinates
    of_h: tuple[Role, ...] = HYPERPARAMETERS
    """Roles of h."""

    def terms(
        self, level: LevelName, flat: Tensor, inputs: StepInputs, hyper: Tensor | None = None
    ) -> tuple[Terms, Metaparameters]:
        """The terms at coordinates (P,), with the rows weighed as for a level; `hyper` (P,) has h in place of `flat`,
        where it is given.
        """
        at, constants = Metaparameters(*inputs.metaparameters), inputs.constants
        values = self.layout.unpack(flat)
        if hyper is not None:
            named = self.layout.unpack(hyper)
            values = values._replace(hyper=named.hyper)
            if Role.LIKELIHOOD in self.of_h:
                values = values._replace(theta=values.theta._replace(likelihood=named.theta.likelihood))
        given = BoundInputs(
            inputs.noise, inputs.x, inputs.y, at.c_temp, constants.indices,
            inputs.factor, inputs.row_weights.get(level), constants.against,
        )  # fmt: skip
        return self.bound.terms(self.coordinates.plain(values, constants.whitening), given), at

    def total_inner(self, flat: Tensor, inputs: StepInputs, hyper: Tensor | None = None) -> Tensor:
        """ΣL over members; what of it doesn't depend on h drops out of a derivative by `hyper`."""
        return inner_level(*self.terms("inner", flat, inputs, hyper)).sum()

    def total_outer(self, flat: Tensor, inputs: StepInputs) -> Tensor:
        """ΣQ over members."""
        return outer_level(*self.terms("outer", flat, inputs)).sum()


Step = Callable[[StepState, StepControl, Entries, StepInputs], Terms]


def make_step(objectives: Objectives, levels: int, inner: InnerMethod) -> Step:
    """The step that raises every member's objective: with one level Q over θ and h together, else L over θ.

    The returned function updates the state in place, so that no step allocates it anew, and returns the terms before
    the update, (M,) each. Entries of q(Γ) and p(Γ) stay where they are while the structure doesn't move, those of h
    unless there is one level; those with a finite limit are kept within ± of it.
    """

    def step(state: StepState, control: StepControl, entries: Entries, inputs: StepInputs) -> Terms:
        def total(candidate: Tensor) -> tuple[Tensor, Terms]:
            terms, at = objectives.terms("inner", candidate, inputs)
            value = one_level(terms, at) if levels == 1 else inner_level(terms, at)
            return value.sum(), terms

        terms: Terms
        gradient, terms = torch.func.grad(total, has_aux=True)(state.optimizer.values)
        held = entries.of_structure & ~control.structure_moves
        if levels != 1:
            held = held | entries.of_h
        gradient = torch.where(held, torch.zeros_like(gradient), gradient)
        members = NumbersOfMembers(entries.member_of, objectives.bound.population.size)
        raised, kept = inner.ascend(
            state.optimizer.values, gradient, state.optimizer.kept, control.rate, control.number, members
        )
        state.optimizer.move(torch.maximum(torch.minimum(raised, entries.limit), -entries.limit), kept)
        diverged = (state.diverged_at < 0) & ~torch.isfinite(terms.bound)
        state.diverged_at.copy_(torch.where(diverged, control.number, state.diverged_at))
        return terms

    return step
