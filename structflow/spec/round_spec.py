"""The spec of a round: that of its stage, with the metaparameters and the number of steps that the round has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Problem
from ..plugins import RoundBound
from ..plugins.inner_optimizer import DISCRETE, RELAXED
from ..plugins.registry import registry
from .criterion_calls import weight_family, with_metaparameters
from .models import Spec


def for_round(spec: Spec, name: str, relaxed: bool, metaparameters: Mapping[str, float]) -> Spec:
    """A stage's spec as a round trains it, whose number of steps is a number."""
    found = with_steps(with_metaparameters(spec, metaparameters), steps_in(spec, name, relaxed))
    return with_density(found) if relaxed else found


def with_density(spec: Spec) -> Spec:
    """The spec with a family of q(w) that has a density while it is trained, as relaxed structures need it.

    In place of one that fits the curvature of a structure it is the family that this one names, and h rises with θ.
    """
    family = weight_family(spec)
    if not family.fits_curvature:
        return spec
    kind = registry().of_kind("weight_posteriors")[family.when_relaxed]
    outer = registry().of_kind("hypergradients")[kind.plugin.default_outer]
    optimizer = spec.optimizer.model_copy(update={"outer": outer.options()})
    posterior = spec.posterior.model_copy(update={"weights": kind.options()})
    return spec.model_copy(update={"optimizer": optimizer, "posterior": posterior})


def with_steps(spec: Spec, steps: int | None) -> Spec:
    """A spec with so many steps of θ; with those that it has where that is None."""
    if steps is None or spec.optimizer.inner.steps == steps:
        return spec
    inner = spec.optimizer.inner.model_copy(update={"steps": steps})
    return spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"inner": inner})})


def steps_in(spec: Spec, name: str, relaxed: bool) -> int | None:
    """Steps of a round by its name, else by its kind; None where the spec names neither."""
    steps: Any = spec.optimizer.inner.steps
    if isinstance(steps, Mapping):
        steps = steps.get(name, steps.get(RELAXED if relaxed else DISCRETE))
    return None if steps is None else int(steps)


def numbers_of_steps(spec: Spec) -> list[int]:
    """All numbers of steps that rounds have, rising."""
    steps: Any = spec.optimizer.inner.steps
    return sorted(steps.values()) if isinstance(steps, Mapping) else [steps]


def steps_problems(spec: Spec, rounds: Sequence[RoundBound]) -> list[Problem]:
    """A problem for the rounds that no number of steps is given for, and for every name that no round has."""
    steps: Any = spec.optimizer.inner.steps
    if not isinstance(steps, Mapping):
        return []
    names = ", ".join(each.name for each in rounds)
    without = [each.name for each in rounds if steps_in(spec, each.name, each.relaxed) is None]
    problems = []
    if without:
        remedy = f"name them, or their kind: {RELAXED} or {DISCRETE}"
        problems.append(Problem("optimizer.inner.steps", f"no number of steps for {', '.join(without)}", remedy))
    known = {RELAXED, DISCRETE, *(each.name for each in rounds)}
    problems += [
        Problem(f"optimizer.inner.steps.{name}", f"no round is named {name!r}", f"the rounds are {names}")
        for name in steps
        if name not in known
    ]
    return problems
