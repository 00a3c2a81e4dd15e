"""The derivative through the steps of θ as if θ had gone straight from its start to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions
from .reverse_pass import Visited, forwards, through_steps

if TYPE_CHECKING:
    from ...plugins import InnerPath, TwoLevelPoint


class DrmadOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: drmad`."""

    skipped: float = Field(0.05, ge=0, lt=1, description="Share of the first steps that are left out.")
    stride: int = Field(1, ge=1, description="Only every so many steps are looked at, each for that many.")


class Drmad(Hypergradient):
    """The reverse pass along θ_τ = θ_τ₀ + (τ − τ₀)/(η − τ₀) (θ_η − θ_τ₀) in place of θ's path, in constant memory.

    Fu et al., "DrMAD: distilling reverse-mode automatic differentiation for optimizing hyperparameters of deep neural
    networks" (2016). The first τ₀ steps, in which a path is least straight, are skipped. With a stride k a step stands
    for k: its rate is k β for momentum 0, in general k β (1 − μᵏ) / (1 − μ), and its momentum μᵏ. Exact where a
    straight path is traversed uniformly and no step is skipped.
    """

    type = "drmad"
    Options = DrmadOptions
    levels = 2
    follows_path = True

    @staticmethod
    def cost(options: DrmadOptions, samples: int) -> float:
        return 1.2 * options.samples / samples + 1.7 * options.every / options.stride

    @staticmethod
    def gradient(options: DrmadOptions, point: TwoLevelPoint) -> OuterGradient:
        return OuterGradient(through_steps(point, straight(point.path, options.skipped, options.stride)))


def straight(path: InnerPath, skipped: float, stride: int) -> Iterator[Visited]:
    """Every `stride`-th step in reverse order down to the share that is skipped, with θ on the line."""
    momentum = path.momentum**stride
    factor = stride * (1 - momentum) / (1 - path.momentum)
    first = round(skipped * path.length)
    start, velocity = path.start, path.start_velocity
    for step in range(first):
        start, velocity = forwards(path, step, start, velocity)
    for step in range(path.length - 1, first - 1, -stride):
        share = (step - first) / (path.length - first)
        yield Visited(step, start + share * (path.end - start), factor * path.rate(step), momentum)
