"""The bound on log evidence from trajectories, with a rate that keeps it one, stopped when it no longer rises."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ...plugins import Estimate
from .curvature import LARGEST_STEP, curvature
from .descent_start import descent_start
from .early_stop import CrossedWatch
from .entropy_of_descent import Descent, Look
from .joint_derivatives import LogJoint

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import WeightVectors
    from .descent_options import DescentOptions

FIRST_STEP = 0.2
"""βλ_max at the start where the rate isn't given: small steps lose little to the quadratic bound of log(1 − βλ)."""

LEAST_RESTARTS = 50
"""Number of restarts from which their spread gives the error of their mean."""

MOST_REPEATS = 12
"""Times that trajectories begin again with smaller steps."""


@dataclass(frozen=True)
class DescentBound:
    """The bound of every member and its standard error, the largest βλ_max met before it stopped, and if it is finite.

    All are (M,).
    """

    value: Tensor
    standard_error: Tensor
    largest_step: Tensor
    finite: Tensor

    @property
    def valid(self) -> Tensor:
        """Whether log(1 − βλ) was bounded by −βλ − (βλ)² all the way, (M,)."""
        return self.finite & (self.largest_step <= LARGEST_STEP)


def bound_of_descent(weights: WeightVectors, options: DescentOptions, langevin: bool, phase: str) -> Estimate:
    """mean over restarts of log p(y, w) + S ≤ log p(y), (M,), at the steps where it is largest.

    Without a `rate`, members whose steps become too large on the way begin again with smaller ones. With one they have
    no value, and `missing` says so.
    """
    import torch

    joint = LogJoint(weights, options.batch_size)
    start = descent_start(weights, options.start, options.restarts, f"{phase}/start")
    if options.rate is not None:
        rate = torch.full_like(start.entropy, options.rate)
        bound = run(joint, options, rate, langevin, phase)
        return with_reasons(bound, rate)
    steepest = torch.stack(
        [curvature(joint, start.draws, step, f"{phase}/start").largest.amax(1) for step in range(joint.parts)]
    ).amax(0)
    rate = torch.where(steepest > 0, FIRST_STEP / steepest, 0.0)
    bound = run(joint, options, rate, langevin, phase)
    for _ in range(MOST_REPEATS):
        if bool(bound.valid.all()):
            break
        factor = (0.5 * LARGEST_STEP / bound.largest_step).nan_to_num(nan=0.0).clamp(0.1, 0.5)
        rate = torch.where(bound.valid, rate, factor * rate)
        bound = chosen(bound, run(joint, options, rate, langevin, phase))
    return with_reasons(bound, rate)


def run(joint: LogJoint, options: DescentOptions, rate: Tensor, langevin: bool, phase: str) -> DescentBound:
    """The bound of trajectories with these rates (M,), which go on until every member has stopped."""
    import torch

    start = descent_start(joint.weights, options.start, options.restarts, f"{phase}/start")
    descent = Descent(joint, rate, langevin, options.steps, options.check_every, options.measure_every, phase)
    looks = descent.looks(start)
    look = next(looks)
    watch, largest = CrossedWatch.begin(look.bound), largest_of(look)
    for look in looks:
        largest = torch.where(watch.stopped, largest, torch.maximum(largest, largest_of(look)))
        watch = watch.after(look.step, look.bound, options.patience)
        if bool((watch.stopped | (largest > LARGEST_STEP)).all()):
            break
    value, error = mean_of_restarts(watch.bounds)
    return DescentBound(value, error, largest, value.isfinite())


def mean_of_restarts(bounds: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of bounds (M, r) over r restarts and its standard error √(s² / r + (range / r)²), (M,) each.

    Bounds of restarts have a long lower tail: one in a hundred may end in a mode that is a hundred nats worse, which
    the spread s of the others doesn't show. range / r, from the best to the worst, is what one more restart as bad as
    the worst would take from the mean. With fewer than `LEAST_RESTARTS` the error isn't known.
    """
    import torch

    restarts = bounds.shape[1]
    value = bounds.mean(1)
    if restarts < LEAST_RESTARTS:
        return value, torch.full_like(value, torch.nan)
    extent = bounds.amax(1) - bounds.amin(1)
    return value, (bounds.var(1) / restarts + (extent / restarts).square()).sqrt()


def largest_of(look: Look) -> Tensor:
    """The largest βλ_max of all restarts, (M,)."""
    import torch

    return look.largest_step.nan_to_num(nan=torch.inf).amax(1)


def chosen(before: DescentBound, now: DescentBound) -> DescentBound:
    """Members that were valid before as they were, the others as they are now."""
    import torch

    def pick(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(before.valid, old, new)

    pairs = ((getattr(before, each.name), getattr(now, each.name)) for each in fields(DescentBound))
    return DescentBound(*(pick(*pair) for pair in pairs))


def with_reasons(bound: DescentBound, rate: Tensor) -> Estimate:
    """The estimate with NaN in place of what isn't a bound or isn't known, and why."""
    import torch

    states = zip(bound.valid.tolist(), bound.largest_step.tolist(), rate.tolist(), strict=True)
    missing = {
        number: f"steps of rate {size:.3g} are too large: rate × largest eigenvalue is {step:.3g}, more than "
        f"{LARGEST_STEP}; leave out `rate` or give a smaller one"
        for number, (valid, step, size) in enumerate(states)
        if not valid
    }
    few = f"fewer than {LEAST_RESTARTS} restarts don't show rare bad ones, which lower the bound; raise `restarts`"
    known = bound.standard_error.isfinite().tolist()
    unsure = {number: few for number, is_known in enumerate(known) if not is_known and number not in missing}
    value, error = (torch.where(bound.valid, part, torch.nan) for part in (bound.value, bound.standard_error))
    return Estimate(value, error, missing, unsure)
