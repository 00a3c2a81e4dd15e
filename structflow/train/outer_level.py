"""The upper of two levels: steps of h up dQ/dh, all members of a population at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import CallError
from ..objective.bound import Bound
from ..objective.parameters import Parameter, Role, by_label
from ..plugins import Hypergradient, TwoLevelOptions
from .curved import Curved
from .entries import HYPERPARAMETERS, OF_CURVATURE, Entries, by_row
from .flat import FlatLayout
from .hypergradient_calls import hypergradient
from .inner_method import InnerMethod, NumbersOfMembers, OptimizerState, State, inner_method
from .inner_path import Path
from .metaparameters import cosine_decay
from .open_stage import OpenStage
from .program import Arguments, Configuration, Result, program_for
from .step import StepInputs
from .two_level_point import Point


@dataclass(frozen=True)
class OuterLevel:
    """How h is raised: the method with its options, and which members have their h in common.

    `tied` (M,) gives members of one number one h, whose hypergradient is the sum of theirs: the folds of a structure.
    """

    method: type[Hypergradient]
    options: TwoLevelOptions
    tied: tuple[int, ...]

    @property
    def roles_of_h(self) -> tuple[Role, ...]:
        """Roles of h."""
        return OF_CURVATURE if self.method.of_curvature else HYPERPARAMETERS


@dataclass(frozen=True)
class Begun:
    """Where a path of θ began: the step, all numbers and the velocity of gradient steps, (P,) each."""

    step: int
    flat: Tensor
    velocity: Tensor


class OuterStep(NamedTuple):
    """What a step of h takes beside the hypergradient: Adam's state, which of h is `free`, and rate and number, 0-d.

    `representative` is as in `representatives`.
    """

    state: OptimizerState
    free: Tensor
    rate: Tensor
    number: Tensor
    entries: Entries
    representative: Tensor


class InnerStep(NamedTuple):
    """The step of θ before a hypergradient: what the inner method keeps, its rate and number, 0-d, which entries of θ
    `move`, and where it `came_from`.
    """

    kept: State
    rate: Tensor
    number: Tensor
    moves: Tensor
    came_from: Tensor


@dataclass
class OuterAscent:
    """Adam on h, and what it `kept`; `reports` keeps for every hypergradient what the method said, (M,) each."""

    level: OuterLevel
    stage: OpenStage
    inner: InnerMethod
    representative: Tensor
    in_use: Tensor
    is_boxed: bool
    is_tied: bool
    of_h: InnerMethod
    kept: State
    rates: Tensor
    begun: Begun | None = None
    last: tuple[int, Tensor] | None = None
    curved: Curved | None = None
    programs: dict[Configuration, Callable[..., object]] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    reports: list[dict[str, Tensor]] = field(default_factory=list)

    def before(self, step: int, flat: Tensor, inner: State) -> None:
        """Keep what a step of θ starts from: for a method that follows the steps up to the next step of h, and for one
        that looks at the last of them.
        """
        if self.level.method.looks_back and (step + 1) % self.level.options.every == 0:
            self.last = step, flat.clone()
        if self.level.method.follows_path and step % self.level.options.every == 0:
            self.begun = Begun(step, flat.clone(), inner["velocity"].clone())

    def after(self, step: int, flat: Tensor, inner: State) -> None:
        """Raise h in place where that is due after this step of θ; `inner` is the state of the inner method."""
        method, options = self.level.method, self.level.options
        steps = self.stage.inputs.setup.tables.steps
        if (step + 1) % options.every or step + 1 < method.burn_in(options) * steps:
            return
        self.curved = Curved.at(self.stage, flat) if method.of_curvature else None
        for _ in range(method.steps(options)):
            inputs = self.stage.inputs.of_outer(step, len(self.steps), options.samples)
            self.move(flat, step, inputs, inner)

    def point(self, flat: Tensor, step: int, inputs: StepInputs, inner: State) -> Point:
        """The point of the two-level problem after a step of θ.

        Entries that are held, and those at the limit that L presses against it, don't respond to h.
        """
        at, path = self._inner_step(flat, step, inner), None
        if self.begun is not None:
            begun, length = self.begun, step + 1 - self.begun.step
            path = Path(
                begun.flat, begun.velocity, flat, begun.step, length, at.moves, self.inner, self.stage.inputs,
                self._program,
            )  # fmt: skip
        point = replace(self._point(flat, inputs, at, self._program), iteration=len(self.steps), travelled=path)
        point = replace(point, curved=self.curved, came_from=at.came_from if self.level.method.looks_back else None)
        return self._unpressed(point, self.stage.entries.limit)

    def move(self, flat: Tensor, step: int, inputs: StepInputs, inner: State) -> None:
        """Raise h in place by one step, given the inputs of the objective at this point.

        One program does all of it for a method that is `flat`; elsewhere one does what comes after the hypergradient.
        """
        iteration, entries = len(self.steps), self.stage.entries
        free = entries.of_h & ~self._held(step)
        number = torch.tensor(iteration, device=flat.device)
        outer = OuterStep(OptimizerState(flat, self.kept), free, self.rates[step], number, entries, self.representative)
        method = self.level.method
        if method.flat and self.begun is None:
            kind = ("whole", method.type, repr(self.level.options), self.inner.signature)
            gradient, size, report = self._run(kind, self._whole, (outer, self._inner_step(flat, step, inner), inputs))
        else:
            found = hypergradient(method, self.level.options, self.point(flat, step, inputs, inner), self.stage.members)
            gradient, size = self._run(("raise",), self._raise, (found.gradient, outer))
            report = dict(found.report)
        if iteration == 0:
            refuse_without_influence(gradient, free & self.in_use, self.stage.objectives.layout)
        self.steps.append(step)
        self.reports.append({"hypergradient": size, **report})

    def _inner_step(self, flat: Tensor, step: int, kept: State) -> InnerStep:
        """The step of θ that led here."""
        moves, rate = ~self.stage.entries.of_h & ~self._held(step), self.stage.inputs.setup.tables.rate[step]
        return InnerStep(kept, rate, torch.tensor(step, device=flat.device), moves, self._before(step, flat))

    def _point(
        self, flat: Tensor, inputs: StepInputs, at: InnerStep, program: Callable[[str], Callable[..., Tensor]]
    ) -> Point:
        """A point that a step of θ led to."""
        sizes = partial(self.inner.step_sizes, at.kept, rate=at.rate, step=at.number + 1)
        members, member_of = self.stage.members, self.stage.entries.member_of
        return Point(flat, inputs, 0, at.moves, sizes, member_of, members, program, None, at.came_from)

    def _whole(self, outer: OuterStep, at: InnerStep, inputs: StepInputs) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Hypergradient and step of h together."""
        point = self._point(outer.state.values, inputs, at, self._functions().__getitem__)
        point = self._unpressed(replace(point, member_of=outer.entries.member_of), outer.entries.limit)
        found = hypergradient(self.level.method, self.level.options, point, self.stage.members)
        return *self._raise(found.gradient, outer), dict(found.report)

    def _raise(self, found: Tensor, outer: OuterStep) -> tuple[Tensor, Tensor]:
        """A step of Adam up the hypergradient for h that is free, in place; what was climbed, and its length (M,)."""
        flat, entries = outer.state.values, outer.entries
        gradient = torch.where(outer.free, found, torch.zeros_like(flat))
        if self.is_tied:
            gradient = gradient.new_zeros(len(gradient)).index_add(0, outer.representative, gradient)
            gradient = gradient.index_select(0, outer.representative)
        members = NumbersOfMembers(entries.member_of, self.stage.members)
        raised, kept = self.of_h.ascend(flat, gradient, outer.state.kept, outer.rate, outer.number, members)
        raised = torch.maximum(torch.minimum(raised, entries.limit), -entries.limit)
        outer.state.move(torch.where(outer.free & torch.isfinite(raised), raised, flat), kept)
        return gradient, members.sum_by_member(gradient.square()).sqrt()

    def _unpressed(self, point: Point, limit: Tensor) -> Point:
        """The point without numbers of θ at the limit that L presses against it: they don't respond to h."""
        if not self.is_boxed:
            return point
        pressed = (point.flat.abs() >= limit) & (point.inner_gradient() * point.flat > 0)
        return replace(point, of_theta=point.of_theta & ~pressed)

    def _before(self, step: int, flat: Tensor) -> Tensor:
        """Where step `step` of θ started; where it led if that wasn't kept."""
        return self.last[1] if self.last is not None and self.last[0] == step else flat

    def _held(self, step: int) -> Tensor:
        """Which numbers stay where they are in a step of θ, (P,)."""
        return self.stage.entries.of_structure & ~self.stage.inputs.setup.tables.structure_moves[step]

    def _functions(self) -> dict[str, Callable[..., Tensor]]:
        """What a point asks for, by kind.

        They are the gradient of ΣL (`inner`) and of ΣQ (`outer`), the product of ∇²(−ΣL) with a direction (`curvature`)
        and its part along h alone (`mixed`).
        """
        objectives = self.stage.objectives
        inner = torch.func.grad(objectives.total_inner)

        def curvature(flat: Tensor, direction: Tensor, inputs: StepInputs) -> Tensor:
            def slope_along(candidate: Tensor) -> Tensor:
                slope: Tensor = inner(candidate, inputs)
                return -(slope * direction).sum()

            product: Tensor = torch.func.grad(slope_along)(flat)
            return product

        def mixed(flat: Tensor, direction: Tensor, inputs: StepInputs) -> Tensor:
            # a pullback and not the gradient of ∇L · v, whose value would keep the likelihood in the program
            pullback = torch.func.vjp(lambda hyper: inner(flat, inputs, hyper), flat)[1]
            product: Tensor = pullback(-direction)[0]
            return product

        return {
            "inner": inner,
            "outer": torch.func.grad(objectives.total_outer),
            "curvature": curvature,
            "mixed": mixed,
            "path_gradient": inner,
            "path_curvature": curvature,
        }

    def _program(self, kind: str) -> Callable[..., Tensor]:
        """The program of one of `_functions`."""
        return lambda *arguments: self._run((kind,), self._functions()[kind], arguments)

    def _run(
        self, kind: Configuration, function: Callable[[*Arguments], Result], arguments: tuple[*Arguments]
    ) -> Result:
        """What a function gives, as a program that is traced the first time."""
        if kind not in self.programs:
            configuration = (*kind, self.stage.configuration, self.is_tied, self.is_boxed)
            compiled = self.stage.inputs.setup.execution.compiled

            def plain(*given: *Arguments) -> Result:  # tracing miscounts the arguments of a bound method
                return function(*given)

            self.programs[kind] = program_for(configuration, plain, arguments, compiled)
        return cast("Result", self.programs[kind](*arguments))

    def trace(self) -> dict[str, np.ndarray]:
        """What was reported: `step` (T,) and for every name (T, M)."""
        if not self.steps:
            return {}
        traced = {
            name: torch.stack([report[name] for report in self.reports]).double().cpu().numpy()
            for name in self.reports[0]
        }
        return {"step": np.array(self.steps), **traced}


def outer_ascent(level: OuterLevel, stage: OpenStage, inner: InnerMethod) -> OuterAscent:
    """The ascent of h over a stage whose θ moves by the inner method."""
    bound, layout, device = stage.objectives.bound, stage.layout, stage.start.device
    steps, of_h = stage.inputs.setup.tables.steps, inner_method("adam")
    return OuterAscent(
        level,
        stage,
        inner,
        representatives(bound, layout, level.tied).to(device),
        numbers_in_use(bound, layout).to(device),
        is_boxed=bool(torch.isfinite(stage.entries.limit).any()),
        is_tied=len(set(level.tied)) < len(level.tied),
        of_h=of_h,
        kept=of_h.start(stage.start),
        rates=(level.options.rate * cosine_decay(steps)).to(device, stage.start.dtype),
    )


def representatives(bound: Bound, layout: FlatLayout, tied: Sequence[int]) -> Tensor:
    """For each number its place in the first member that has it in common, (P,): itself where nothing is tied."""
    numbers = np.asarray(tied)
    first = np.array([int(np.flatnonzero(numbers == number)[0]) for number in numbers])
    parts, begin = [], 0
    for parameter, shape in layout.shapes:
        owner, rows = parameter.group, first
        if owner is not None:
            index = bound.population.groups[owner]
            rows = index.positions[first[index.slots]]
            spare = index.positions[index.slots] != np.arange(len(index.slots))
            rows = np.where(spare | (rows >= len(index.slots)), np.arange(len(index.slots)), rows)
        size = int(np.prod(shape[1:]))
        parts.append((begin + rows[:, None] * size + np.arange(size)).reshape(-1))
        begin += int(np.prod(shape))
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def numbers_in_use(bound: Bound, layout: FlatLayout) -> Tensor:
    """Which numbers belong to something a member has, booleans (P,).

    Not those of spare slots, nor the common precision of a member without weights.
    """
    groups = bound.population.groups
    has_weights = np.zeros(bound.population.size, dtype=bool)
    for index in groups:
        has_weights |= index.positions < len(index.slots)

    def used(parameter: Parameter, rows: int) -> np.ndarray:
        if parameter.group is not None:
            index = groups[parameter.group]
            return np.asarray(index.positions[index.slots] == np.arange(rows))
        return has_weights if parameter.role is Role.PRECISION else np.ones(rows, dtype=bool)

    return torch.from_numpy(by_row(layout, used))


def refuse_without_influence(gradient: Tensor, of_h: Tensor, layout: FlatLayout) -> None:
    """Raise `CallError` for hyperparameters whose hypergradient is exactly zero everywhere: they would never move."""
    flags, values = (by_label(layout.tree, layout.unpack(each)) for each in (of_h, gradient))
    silent = [
        label for label, value in values.items() if bool(flags[label].any()) and bool((value[flags[label]] == 0).all())
    ]
    if silent:
        raise CallError(
            f"hyperparameters without influence on Q: {', '.join(silent)}; don't learn them, or change the objective "
            "so that Q depends on them"
        )
