"""The exact derivative through every step of θ, with the path recomputed from checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions
from .reverse_pass import Visited, forwards, through_steps

if TYPE_CHECKING:
    from ...plugins import InnerPath, TwoLevelPoint


class Reversible(Hypergradient):
    """dQ(θ_η(h), h)/dh through all η steps of θ since the last step of h, exact for gradient steps with momentum.

    Maclaurin, Duvenaud and Adams (2015) run the steps backwards with a buffer of the bits that momentum rounds away.
    Here noise and minibatches can be recomputed for any step, so the path is run forwards once more instead, ⌈√η⌉
    steps at a time from ⌈√η⌉ checkpoints: exact to rounding, for any momentum, for the memory of 2 √η states and
    the time of two further runs.
    """

    type = "reversible"
    Options = TwoLevelOptions
    levels = 2
    follows_path = True

    @staticmethod
    def cost(options: TwoLevelOptions, samples: int) -> float:
        return 1.2 * options.samples / samples + 3.4 * options.every

    @staticmethod
    def gradient(options: TwoLevelOptions, point: TwoLevelPoint) -> OuterGradient:
        return OuterGradient(through_steps(point, backwards(point.path)))


def backwards(path: InnerPath) -> Iterator[Visited]:
    """The steps of the path in reverse order, each with its θ_τ."""
    stride = math.isqrt(max(path.length - 1, 0)) + 1
    state = path.start, path.start_velocity
    checkpoints = []
    for step in range(path.length):
        if step % stride == 0:
            checkpoints.append(state)
        state = forwards(path, step, *state)
    for number in reversed(range(len(checkpoints))):
        begin, state = number * stride, checkpoints[number]
        visited = []
        for step in range(begin, min(begin + stride, path.length)):
            visited.append(Visited(step, state[0], path.rate(step), path.momentum))
            state = forwards(path, step, *state)
        yield from reversed(visited)
