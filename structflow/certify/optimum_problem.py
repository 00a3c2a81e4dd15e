"""Q at the optimum of L as a function of h: what methods that follow θ* are to differentiate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import CallError
from ..objective.levels import inner_level, outer_level
from ..plugins import OuterGradient
from ..train.inner_method import inner_method
from ..train.live_memory import LiveMemory
from ..train.open_stage import OpenStage
from ..train.outer_level import OuterLevel
from ..train.two_level_point import Point
from .dense_curvature import DenseCurvature, dense_curvature
from .steps_problem import SAFE, StepsProblem, largest_curvature, with_rate

LBFGS_ITERATIONS = 300

MOST_NEWTON_STEPS = 200

NEAR_ENOUGH = 1e-9
"""A Newton step whose every number is below this has arrived."""

MOST_CHORD_STEPS = 50

MOST_HALVINGS = 40

ROUNDING = 1e-13
"""Share of L that a step may lose: near the optimum it is all rounding."""


@dataclass(frozen=True)
class OptimumProblem:
    """Q(θ*(h), h) with θ*(h) = argmax L(θ, h) near `flat`, which holds θ*(h) beside h; one draw of noise for both.

    `curvature` is that of −L at `flat`.
    """

    steps_problem: StepsProblem
    flat: Tensor
    curvature: DenseCurvature

    reference = "implicit"

    @property
    def stage(self) -> OpenStage:
        """What the problem is of."""
        return self.steps_problem.stage

    @property
    def members(self) -> int:
        """M."""
        return self.steps_problem.members

    def tenth(self) -> None:
        """No steps, no tenth of them."""

    def metered(self, meter: LiveMemory) -> OptimumProblem:
        """The same in uncompiled programs, whose memory `meter` counts."""
        return replace(self, steps_problem=self.steps_problem.metered(meter))

    def step_seconds(self) -> float:
        """How long a gradient of L takes, once its program is there."""
        point = self.point()
        point.inner_gradient()
        started = time.perf_counter()
        for _ in range(10):
            replace(point).inner_gradient()  # a point remembers its own
        return (time.perf_counter() - started) / 10

    def value(self, flat: Tensor) -> Tensor:
        """Q (M,) at θ*(h), found anew from `flat` by Newton steps with the curvature that is known."""
        point = replace(self.point(), flat=flat)
        for _ in range(MOST_CHORD_STEPS):
            gradient = of_theta(point, point.inner_gradient())
            move = self.curvature.inverse_times(gradient)
            point = point.after(move)
            if bool((move.abs() <= 1e-14 * (1 + point.flat.abs())).all()):
                break
        return outer_level(*self.stage.objectives.terms("outer", point.flat, point.inputs))

    def point(self, level: OuterLevel | None = None) -> Point:
        """The point at θ*."""
        return point_at(self.steps_problem, self.flat, level)

    def reference_gradient(self) -> Callable[[], OuterGradient]:
        """dQ/dh by the implicit function theorem, with H written out."""
        point = self.point()
        return lambda: self.implicit(point)

    def implicit(self, point: Point) -> OuterGradient:
        """∇_h Q − (∇²_{θh}(−L))ᵀ H⁻¹ ∇_θ Q, (P,)."""
        of_q = point.outer_gradient()
        response = self.curvature.inverse_times(of_theta(point, of_q))
        total = of_q - point.curvature_product(response)
        return OuterGradient(torch.where(self.stage.entries.of_h, total, torch.zeros_like(total)))


def of_theta(point: Point, values: Tensor) -> Tensor:
    """The part along θ."""
    return torch.where(point.of_theta, values, torch.zeros_like(values))


def point_at(problem: StepsProblem, flat: Tensor, level: OuterLevel | None = None) -> Point:
    """A point of the problem at any θ and h, with the metaparameters of its last step."""
    return problem.ascent(level).point(flat, problem.steps - 1, problem.inputs, problem.inner.start(flat))


def optimum_problem(problem: StepsProblem) -> OptimumProblem:
    """The problem at the optimum of L that is found from the start, by L-BFGS and then by Newton's method.

    Methods that look at a step are given one of gradient steps at the rate of half of 1 / (largest curvature). Raises
    `CallError` where the search ends at no optimum.
    """
    problem = replace(problem, inner=inner_method("sgd"))
    point = point_at(problem, problem.flat)
    point, curvature = by_newton(problem, by_lbfgs(problem, point))
    rate = SAFE / largest_curvature(point)
    return OptimumProblem(with_rate(problem, rate), point.flat, curvature)


def by_lbfgs(problem: StepsProblem, point: Point) -> Point:
    """Near an optimum of ΣL over θ."""
    places = torch.nonzero(point.of_theta).flatten()
    theta = point.flat[places].clone()
    search = torch.optim.LBFGS(
        [theta], max_iter=LBFGS_ITERATIONS, max_eval=2 * LBFGS_ITERATIONS, tolerance_grad=1e-8,
        tolerance_change=0, history_size=50, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        at = replace(point, flat=point.flat.index_copy(0, places, theta))
        theta.grad = -at.inner_gradient()[places]
        return -inner_values(problem, at).sum()

    search.step(loss)
    return replace(point, flat=point.flat.index_copy(0, places, theta))


def inner_values(problem: StepsProblem, point: Point) -> Tensor:
    """L of every member, (M,)."""
    return inner_level(*problem.stage.objectives.terms("inner", point.flat, point.inputs))


def by_newton(problem: StepsProblem, point: Point) -> tuple[Point, DenseCurvature]:
    """The optimum itself: steps |H|⁻¹ ∇L, which climb from saddles too, halved until no L falls."""
    for _ in range(MOST_NEWTON_STEPS):
        curvature = dense_curvature(point)
        gradient = of_theta(point, point.inner_gradient())
        move = curvature.inverse_times(gradient, without_sign=True)
        if bool((move.abs() <= NEAR_ENOUGH * (1 + point.flat.abs())).all()):
            if bool(curvature.is_definite.all()):
                return point, curvature
            break
        before = inner_values(problem, point)
        share = torch.ones_like(before)
        for _ in range(MOST_HALVINGS):
            fallen = ~(
                inner_values(problem, point.after(point.spread(share) * move)) >= before - ROUNDING * before.abs()
            )
            if not bool(fallen.any()):
                break
            share = torch.where(fallen, share / 2, share)
        point = point.after(point.spread(share) * move)
    raise CallError(
        "no optimum of L was found from the start: its curvature isn't positive definite where the gradient vanishes, "
        "or the gradient doesn't vanish; certify along steps (leave --at out), or give the outer method more samples"
    )
