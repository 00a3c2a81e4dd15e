"""The upper of two levels: steps of h up dQ/dh, all members of a population at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CallError
from ..objective.bound import Bound
from ..plugins import Hypergradient
from .adam import ascend
from .flat import FlatLayout
from .inner_method import InnerMethod
from .inner_path import Path
from .metaparameters import cosine_decay
from .open_stage import OpenStage
from .program import program_for
from .step import Inputs


@dataclass(frozen=True)
class OuterLevel:
    """How h is raised: the method with its options, and which members have their h in common.

    `tied` (M,) gives members of one number one h, whose hypergradient is the sum of theirs: the folds of a structure.
    """

    method: type[Hypergradient]
    options: Any
    tied: tuple[int, ...]


@dataclass(frozen=True)
class Begun:
    """Where a path of θ began: the step, all numbers and the velocity, (P,) each."""

    step: int
    flat: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class Point:
    """A point of the two-level problem; see `plugins.TwoLevelPoint`."""

    flat: Tensor
    inputs: Inputs
    iteration: int
    of_theta: Tensor
    step_sizes: Tensor
    member_of: Tensor
    members: int
    program: Callable[[str], Callable[..., Tensor]]
    travelled: Path | None = None

    @property
    def path(self) -> Path:
        """How θ came here; raises `CallError` for a method that doesn't say that it follows it."""
        if self.travelled is None:
            raise CallError("the path of θ is kept only for a method whose class says `follows_path = True`")
        return self.travelled

    def after(self, move: Tensor) -> Point:
        """The point with its numbers moved."""
        return replace(self, flat=self.flat + move)

    def inner_gradient(self) -> Tensor:
        """∇ΣL."""
        return self.program("inner")(self.flat, *self.inputs)

    def outer_gradient(self) -> Tensor:
        """∇ΣQ."""
        return self.program("outer")(self.flat, *self.inputs)

    def curvature_product(self, direction: Tensor) -> Tensor:
        """∇²(−ΣL) · v."""
        return self.program("curvature")(self.flat, direction, *self.inputs)

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Every member's inner product."""
        return left.new_zeros(self.members).index_add(0, self.member_of, left * right)

    def spread(self, values: Tensor) -> Tensor:
        """Every member's value at its numbers."""
        return values.index_select(0, self.member_of)


@dataclass
class OuterAscent:
    """Adam on h, with its moments; `reports` keeps for every hypergradient what the method said, (M,) each."""

    level: OuterLevel
    stage: OpenStage
    inner: InnerMethod
    signature: str
    member_of: Tensor
    representative: Tensor
    in_use: Tensor
    is_boxed: bool
    first: Tensor
    second: Tensor
    rates: Tensor
    begun: Begun | None = None
    steps: list[int] = field(default_factory=list)
    reports: list[dict[str, Tensor]] = field(default_factory=list)

    def before(self, step: int, flat: Tensor, velocity: Tensor) -> None:
        """Keep where the steps of θ up to the next step of h begin, for a method that follows them."""
        if self.level.method.follows_path and step % self.level.options.every == 0:
            self.begun = Begun(step, flat.clone(), velocity.clone())

    def after(self, step: int, flat: Tensor, second: Tensor) -> None:
        """Raise h in place where that is due after this step of θ; `second` is the state of the inner method."""
        if (step + 1) % self.level.options.every:
            return
        inputs = self.stage.inputs.of_outer(step, len(self.steps), self.level.options.samples)
        self.move(flat, step, inputs, second)

    def point(self, flat: Tensor, step: int, inputs: Inputs, second: Tensor) -> Point:
        """The point of the two-level problem after a step of θ.

        Numbers that are held, and those at the limit that L presses against it, don't respond to h.
        """
        moves = ~self.stage.of_h & ~self._held(step)
        rate, number = self.stage.inputs.tables.rate[step], torch.tensor(step, device=flat.device)
        sizes = self.inner.step_sizes(second, rate, number)
        members = self.stage.objectives.bound.population.size
        path = None
        if self.begun is not None:
            begun, length = self.begun, step + 1 - self.begun.step
            path = Path(
                begun.flat,
                begun.velocity,
                flat,
                begun.step,
                length,
                moves,
                self.inner,
                self.stage.inputs,
                self._program,
            )
        point = Point(flat, inputs, len(self.steps), moves, sizes, self.member_of, members, self._program, path)
        if self.is_boxed:
            pressed = (flat.abs() >= self.stage.limit) & (point.inner_gradient() * flat > 0)
            point = replace(point, of_theta=point.of_theta & ~pressed)
        return point

    def move(self, flat: Tensor, step: int, inputs: Inputs, second: Tensor) -> None:
        """Raise h in place by one step, given the inputs of the objective at this point."""
        iteration = len(self.steps)
        held = self._held(step)
        point = self.point(flat, step, inputs, second)
        found = self.level.method.gradient(self.level.options, point)
        gradient = torch.where(self.stage.of_h & ~held, found.gradient, torch.zeros_like(flat))
        gradient = gradient.new_zeros(len(gradient)).index_add(0, self.representative, gradient)
        gradient = gradient.index_select(0, self.representative)
        if iteration == 0:
            refuse_without_influence(gradient, self.stage.of_h & self.in_use & ~held, self.stage.objectives.layout)
        number = torch.tensor(iteration, device=flat.device)
        raised, self.first, self.second = ascend(flat, gradient, self.first, self.second, self.rates[step], number)
        raised = torch.maximum(torch.minimum(raised, self.stage.limit), -self.stage.limit)
        usable = self.stage.of_h & torch.isfinite(raised)
        flat.copy_(torch.where(usable, raised, flat))
        self.steps.append(step)
        self.reports.append({"hypergradient": point.dot(gradient, gradient).sqrt(), **found.report})

    def _held(self, step: int) -> Tensor:
        """Which numbers stay where they are in a step of θ, (P,)."""
        return self.stage.of_structure & ~self.stage.inputs.tables.structure_moves[step]

    def _program(self, kind: str) -> Callable[..., Tensor]:
        """The gradient of ΣL (`inner`) or of ΣQ (`outer`), or the product of ∇²(−ΣL) with a direction (`curvature`)."""
        objectives = self.stage.objectives

        def curvature(flat: Tensor, direction: Tensor, *inputs: Any) -> Tensor:
            def slope_along(candidate: Tensor) -> Tensor:
                slope: Tensor = torch.func.grad(objectives.total_inner)(candidate, *inputs)
                return -(slope * direction).sum()

            product: Tensor = torch.func.grad(slope_along)(flat)
            return product

        functions: dict[str, Callable[..., Tensor]] = {
            "inner": torch.func.grad(objectives.total_inner),
            "outer": torch.func.grad(objectives.total_outer),
            "curvature": curvature,
            "path_gradient": torch.func.grad(objectives.total_inner),
            "path_curvature": curvature,
        }

        def call(*arguments: Any) -> Tensor:
            compiled = self.stage.inputs.execution.compiled
            program = program_for(f"{kind}|{self.signature}", functions[kind], arguments, compiled)
            result: Tensor = program(*arguments)
            return result

        return call

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
    bound, layout, inputs = stage.objectives.bound, stage.layout, stage.inputs
    shapes = f"{inputs.data.x.shape}{inputs.data.y.shape}"
    signature = f"{stage.setup}|{level.options.samples}|{inputs.samples}|{inputs.rows}|{shapes}"
    device = stage.start.device
    rates = (level.options.rate * cosine_decay(inputs.tables.steps)).to(device, stage.start.dtype)
    member_of = members_of(bound, layout).to(device)
    representative = representatives(bound, layout, level.tied).to(device)
    first, second = torch.zeros_like(stage.start), torch.zeros_like(stage.start)
    is_boxed = bool(torch.isfinite(stage.limit).any())
    in_use = numbers_in_use(bound, layout).to(device)
    return OuterAscent(
        level, stage, inner, signature, member_of, representative, in_use, is_boxed, first, second, rates
    )


def members_of(bound: Bound, layout: FlatLayout) -> Tensor:
    """The member that each number of the flat vector belongs to, (P,)."""
    owners, parts = bound.owners(), []
    for name, shape in layout.shapes:
        owner = owners.get(name)
        members = np.arange(bound.population.size) if owner is None else bound.population.groups[owner].slots
        parts.append(np.broadcast_to(members.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1))
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def representatives(bound: Bound, layout: FlatLayout, tied: Sequence[int]) -> Tensor:
    """For each number its place in the first member that has it in common, (P,): itself where nothing is tied."""
    numbers = np.asarray(tied)
    first = np.array([int(np.flatnonzero(numbers == number)[0]) for number in numbers])
    owners, parts, begin = bound.owners(), [], 0
    for name, shape in layout.shapes:
        owner = owners.get(name)
        rows = first
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
    owners, groups = bound.owners(), bound.population.groups
    has_weights = np.zeros(bound.population.size, dtype=bool)
    for index in groups:
        has_weights |= index.positions < len(index.slots)
    parts = []
    for name, shape in layout.shapes:
        owner = owners.get(name)
        if owner is not None:
            rows = groups[owner].positions[groups[owner].slots] == np.arange(shape[0])
        else:
            rows = has_weights if name == "log_precision" else np.ones(shape[0], dtype=bool)
        parts.append(np.broadcast_to(rows.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1))
    return torch.from_numpy(np.concatenate(parts))


def refuse_without_influence(gradient: Tensor, of_h: Tensor, layout: FlatLayout) -> None:
    """Raise `CallError` for hyperparameters whose hypergradient is exactly zero everywhere: they would never move."""
    flags = layout.unpack(of_h)
    silent = [
        name
        for name, value in layout.unpack(gradient).items()
        if bool(flags[name].any()) and bool((value[flags[name]] == 0).all())
    ]
    if silent:
        raise CallError(
            f"hyperparameters without influence on Q: {', '.join(silent)}; don't learn them, or change the objective "
            "so that Q depends on them"
        )
