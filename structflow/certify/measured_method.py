"""One hypergradient at a problem: what it finds, in what time and with how much memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import CallError, StructflowError
from ..plugins import Hypergradient, OuterGradient
from ..train.hypergradient_calls import hypergradient
from ..train.live_memory import LiveMemory
from ..train.open_stage import OpenStage
from ..train.outer_level import OuterLevel
from ..train.two_level_point import Point

LATE = 10_000
"""Hypergradients before this one: methods whose tolerance tightens from one to the next are judged at the tightest."""


MOST_CALLS, LONG = 5, 0.3
"""Calls that are timed, unless they take longer than so many seconds together."""


class Problem(Protocol):
    """Q as a function of h by way of θ(h), with derivatives: `StepsProblem` or `OptimumProblem`."""

    reference: str

    @property
    def stage(self) -> OpenStage:
        """The stage that it is of."""

    @property
    def flat(self) -> Tensor:
        """What `value` is differentiated at, (P,)."""

    def value(self, flat: Tensor) -> Tensor:
        """Q (M,)."""

    def point(self, level: OuterLevel | None = None) -> Point:
        """The point that a method is asked at."""

    def reference_gradient(self) -> Callable[[], OuterGradient] | None:
        """dQ/dh without approximation."""

    def tenth(self) -> Problem | None:
        """The same with a tenth of the steps."""

    def metered(self, meter: LiveMemory) -> Problem:
        """The same, uncompiled."""

    def step_seconds(self) -> float:
        """Seconds of an inner step."""


@dataclass(frozen=True)
class Method:
    """A row: a method of two levels with its options, the direct derivative of one, or, of no plugin, the reference."""

    name: str
    plugin: type[Hypergradient] | None = None
    options: Any = None

    @property
    def looks_at_steps(self) -> bool:
        """Whether it differentiates through steps of θ, where there are any."""
        return self.plugin is None or self.plugin.follows_path

    def gradient(self, problem: Problem) -> Callable[[], OuterGradient] | None:
        """What finds dQ/dh (P,), with all that comes before it done; None for a reference that there isn't."""
        if self.plugin is None:
            return problem.reference_gradient()
        of_h, plugin, options = problem.stage.entries.of_h, self.plugin, self.options
        if plugin.levels == 1:
            point = problem.point()
            return lambda: OuterGradient(torch.where(of_h, point.outer_gradient(), torch.zeros_like(point.flat)))
        members = problem.stage.members
        point = problem.point(OuterLevel(plugin, options, tuple(range(members))))

        def found() -> OuterGradient:
            result = hypergradient(plugin, options, replace(point, iteration=LATE), members)  # it remembers nothing
            return replace(result, gradient=torch.where(of_h, result.gradient, torch.zeros_like(result.gradient)))

        return found


@dataclass(frozen=True)
class Row:
    """What a method came to: gradient (P,), report, seconds, and bytes at the peak, for all steps and a tenth of them.

    A method that doesn't look at steps has no peak of a tenth.
    """

    name: str
    gradient: np.ndarray
    report: dict[str, np.ndarray]
    seconds: float
    peak_bytes: int
    peak_bytes_of_a_tenth: int | None


def measured(problem: Problem, method: Method) -> Row | None:
    """A method's hypergradient; its time is without that of making its programs."""
    find, tenth = method.gradient(problem), problem.tenth() if method.looks_at_steps else None
    if find is None:
        return None
    try:
        (find if tenth is None else method.gradient(tenth) or find)()
        found, seconds = timed(find)
        peaks = [None if each is None else peak_bytes(each, method) for each in (problem, tenth)]
    except StructflowError:
        raise
    except Exception as error:  # a third-party plugin may raise anything
        raise CallError(f"hypergradient {method.name} failed: {type(error).__name__}: {error}") from error
    report = {name: value.double().cpu().numpy() for name, value in found.report.items()}
    gradient = found.gradient.detach().double().cpu().numpy()
    return Row(method.name, gradient, report, seconds, peaks[0] or 0, peaks[1])


def timed(find: Callable[[], OuterGradient]) -> tuple[OuterGradient, float]:
    """What is found, and the seconds of the fastest of a few calls, of one where it takes long."""
    seconds: list[float] = []
    while True:
        started = time.perf_counter()
        found = find()
        seconds.append(time.perf_counter() - started)
        if len(seconds) >= MOST_CALLS or sum(seconds) > LONG:
            return found, min(seconds)


def peak_bytes(problem: Problem, method: Method) -> int:
    """Bytes that a method's hypergradient takes at its peak, beside the point that it is asked at."""
    meter = LiveMemory()
    find = method.gradient(problem.metered(meter))
    assert find is not None
    if problem.stage.inputs.setup.execution.compiled:
        find()  # makes the uncompiled programs
    with meter:
        find()
    return meter.peak
