"""Q after η steps of θ as a function of h: what methods that look at steps are to differentiate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import CallError
from ..objective.levels import outer_level
from ..plugins import Hypergradient, OuterGradient, TwoLevelOptions
from ..train.inner_method import InnerMethod, NumbersOfMembers, State
from ..train.live_memory import LiveMemory
from ..train.open_stage import OpenStage
from ..train.outer_level import OuterAscent, OuterLevel, outer_ascent
from ..train.stage_inputs import StageInputs
from ..train.step import StepInputs
from ..train.two_level_point import Point

SAFE = 0.5
"""Rate of a gradient step, in units of 1 / (largest curvature): steps are stable below 2."""

POWER_ITERATIONS = 30

MOST_HALVINGS = 40


@dataclass
class UncountedInputs(StageInputs):
    """Inputs of the steps that `meter` doesn't count: they are given to every method alike."""

    meter: LiveMemory | None = None

    def at(self, step: int) -> StepInputs:
        """What the objective takes at a step."""
        if self.meter is None:
            return super().at(step)
        with self.meter.paused():
            return super().at(step)


@dataclass(frozen=True)
class StepsProblem:
    """Q(T^η(θ_0, h), h) of every member, from the start of a stage, with the noise of each step and of Q held fixed.

    `samples` are those of Q; `steps` is η, at most the steps of the stage's tables.
    """

    stage: OpenStage
    inner: InnerMethod
    samples: int
    steps: int

    reference = "unroll"

    @property
    def members(self) -> int:
        """M."""
        return self.stage.members

    @property
    def flat(self) -> Tensor:
        """θ_0 and h, (P,)."""
        return self.stage.start

    def step_seconds(self) -> float:
        """How long a step of θ takes, once its program is there."""
        self.ends(self.flat)
        started = time.perf_counter()
        self.ends(self.flat)
        return (time.perf_counter() - started) / self.steps

    @property
    def inputs(self) -> StepInputs:
        """What Q takes: all rows, and noise of its own."""
        return self.stage.inputs.of_outer(self.steps - 1, 0, self.samples)

    def tenth(self) -> StepsProblem:
        """The same with a tenth of the steps."""
        return replace(self, steps=-(-self.steps // 10))

    def metered(self, meter: LiveMemory) -> StepsProblem:
        """The same in uncompiled programs, whose memory `meter` counts."""
        return replace(self, stage=metered(self.stage, meter))

    def ends(self, flat: Tensor) -> tuple[Tensor, State]:
        """θ_η beside h, (P,), and the state of the inner method, from any θ_0 and h."""
        point = self.start_point()
        gradient, entries = point.program("path_gradient"), self.stage.entries
        members, tables = NumbersOfMembers(entries.member_of, self.members), self.stage.inputs.setup.tables
        state = self.inner.start(flat)
        for step in range(self.steps):
            slope = gradient(flat, self.stage.inputs.at(step))
            slope = torch.where(entries.of_h, torch.zeros_like(slope), slope)
            number = torch.tensor(step, device=flat.device)
            flat, state = self.inner.ascend(flat, slope, state, tables.rate[step], number, members)
        return flat, state

    def value(self, flat: Tensor) -> Tensor:
        """Q (M,) from θ_0 and h."""
        return outer_level(*self.stage.objectives.terms("outer", self.ends(flat)[0], self.inputs))

    def ascent(self, level: OuterLevel | None = None) -> OuterAscent:
        """What the trainer would raise h with; of no method it still has the programs."""
        return outer_ascent(level or no_level(self.members, self.samples), self.stage, self.inner)

    def start_point(self) -> Point:
        """The point before all steps."""
        inputs = self.stage.inputs.of_outer(0, 0, self.samples)
        return self.ascent().point(self.flat, 0, inputs, self.inner.start(self.flat))

    def point(self, level: OuterLevel | None = None) -> Point:
        """The point after all steps, as the trainer would make it, with the path for a method that follows it."""
        ascent = self.ascent(level)
        ascent.before(0, self.flat, self.inner.start(self.flat))
        end, state = self.ends(self.flat)
        return ascent.point(end, self.steps - 1, self.inputs, state)

    def reference_gradient(self) -> Callable[[], OuterGradient] | None:
        """dQ/dh by reverse mode through all steps of the gradient; None for others, such as Adam's, whose √v̂ has no
        derivative where v̂ is 0.
        """
        return None if self.inner.momentum is None else self.unrolled

    def unrolled(self) -> OuterGradient:
        """dQ/dh (P,) by automatic differentiation of the steps, all of which are kept in memory for it."""
        of_h, objectives, momentum = self.stage.entries.of_h, self.stage.objectives, self.inner.momentum or 0.0
        start = self.flat.detach().clone().requires_grad_()
        at, velocity = start, torch.zeros_like(start)
        for step in range(self.steps):
            total = objectives.total_inner(at, self.stage.inputs.at(step))
            (slope,) = torch.autograd.grad(total, at, create_graph=True)
            velocity = momentum * velocity + torch.where(of_h, torch.zeros_like(slope), slope)
            at = at + self.stage.inputs.setup.tables.rate[step] * velocity
        (gradient,) = torch.autograd.grad(objectives.total_outer(at, self.inputs), start)
        return OuterGradient(torch.where(of_h, gradient, torch.zeros_like(gradient)))


def metered(stage: OpenStage, meter: LiveMemory) -> OpenStage:
    """A stage in uncompiled programs whose inputs `meter` doesn't count."""
    inputs = stage.inputs
    fields = {name: getattr(inputs, name) for name in StageInputs.__dataclass_fields__}
    setup = replace(inputs.setup, execution=replace(inputs.setup.execution, compiled=False))
    return replace(stage, inputs=UncountedInputs(**{**fields, "setup": setup, "meter": meter}))


def no_level(members: int, samples: int) -> OuterLevel:
    """An outer level of no method, for its programs alone."""
    return OuterLevel(Hypergradient, TwoLevelOptions(samples=samples), tuple(range(members)))


def largest_curvature(point: Point) -> Tensor:
    """The largest |eigenvalue| of ∇²_θθ(−L) of any member, 0-d, by power iterations from a vector of ones."""
    vector = point.of_theta.to(point.flat.dtype)
    size = torch.zeros(point.members, dtype=vector.dtype, device=vector.device)
    for _ in range(POWER_ITERATIONS):
        product = point.curvature_product(vector)
        product = torch.where(point.of_theta, product, torch.zeros_like(product))
        size = point.dot(product, product).sqrt()
        vector = product / point.spread(torch.where(size > 0, size, torch.ones_like(size)))
    return size.max()


def safe_rate(problem: StepsProblem) -> StepsProblem:
    """The problem with gradient steps of one rate, which is stable along all of them.

    Half of 1 / (largest curvature) at the start; less where curvature has grown beyond 1 / rate at the end. Raises
    `CallError` where no rate is found.
    """
    curvature = largest_curvature(problem.start_point())
    rate = SAFE / curvature
    for _ in range(MOST_HALVINGS):
        found = with_rate(problem, rate)
        at_end = largest_curvature(found.point())
        if bool(rate * at_end <= 1):
            return found
        rate = torch.minimum(rate / 2, torch.nan_to_num(SAFE / at_end, nan=torch.inf, posinf=torch.inf))
    raise CallError(
        f"no rate of gradient steps was found that stays stable over {problem.steps} of them; lower --steps, or look "
        "at the data and the prior: L or its curvature isn't finite"
    )


def with_rate(problem: StepsProblem, rate: Tensor) -> StepsProblem:
    """The problem with this rate at every step."""
    inputs, tables = problem.stage.inputs, problem.stage.inputs.setup.tables
    tables = replace(tables, rate=rate.to(tables.rate).expand_as(tables.rate))
    inputs = replace(inputs, setup=replace(inputs.setup, tables=tables))
    return replace(problem, stage=replace(problem.stage, inputs=inputs))
