"""What an inner optimiser promises: pure steps up a gradient, for every member apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from ..train.inner_method import InnerMethod, NumbersOfMembers, State
from ..train.metaparameters import metaparameter_tables
from .check import PROBLEMS, expect, expect_problems, remedy
from .default_spec import default_spec
from .numbers import DOUBLE, copies, expect_all_close, expect_close, expect_finite, normal
from .plugin_tests import PluginTests
from .subject import Subject

MEMBERS, OWN, STEPS = 3, 4, 500
"""Members of the problem, numbers of each, and steps that are taken at most."""

ONE_MEMBER = 1e-9
"""Relative influence that members may have on one another, by the rounding of sums."""

LEAST_CLIMB = 0.5
"""Share of the way up a quadratic function that 500 steps climb at least, with the default learning rate."""


@dataclass(frozen=True)
class Hill:
    """L = −½ Σ c (θ − t)² of M members: curvatures c from ½ to 2, targets t (P,) near 0, and who owns each number."""

    curvature: Tensor
    target: Tensor
    numbers: NumbersOfMembers

    @classmethod
    def of(cls, members: int = MEMBERS) -> Hill:
        """Members side by side, whose numbers are interleaved."""
        owner = torch.arange(members).repeat(OWN)
        curvature = torch.linspace(0.5, 2.0, OWN, dtype=DOUBLE).repeat_interleave(members)
        return cls(curvature, normal(OWN, MEMBERS, seed=61)[:, :members].flatten(), NumbersOfMembers(owner, members))

    def gradient(self, at: Tensor) -> Tensor:
        """∇L, (P,)."""
        return self.curvature * (self.target - at)

    def height(self, at: Tensor) -> Tensor:
        """L of every member, (M,)."""
        return -0.5 * self.numbers.sum_by_member(self.curvature * (at - self.target).square())


def method(subject: Subject) -> InnerMethod:
    """The optimiser with its options."""
    return InnerMethod(subject.plugin, subject.options)


def rates(subject: Subject) -> Tensor:
    """The learning rates of a run of `STEPS` steps, (STEPS,)."""
    spec = default_spec(optimizer={"inner": subject.options.model_copy(update={"steps": STEPS})})
    return metaparameter_tables(spec, 0, 1, DOUBLE, torch.device("cpu")).rate


def climbed(subject: Subject, hill: Hill, steps: int) -> tuple[Tensor, State]:
    """Where so many steps from 0 lead, and the state there."""
    inner, rate = method(subject), rates(subject)
    at = torch.zeros_like(hill.target)
    state = inner.start(at)
    for step in range(steps):
        at, state = inner.ascend(at, hill.gradient(at), state, rate[step], torch.tensor(step), hill.numbers)
    return at, state


class InnerOptimizerTests(PluginTests):
    """Tests of one inner optimiser."""

    kind = "inner_optimizers"

    @remedy(PROBLEMS)
    def test_conflicts_are_problems(self, subject: Subject) -> None:
        """`conflicts` is a list of problems, and empty for a spec of defaults."""
        spec = default_spec(optimizer={"inner": subject.options})
        found = expect_problems(lambda: subject.plugin.conflicts(spec), "a spec of defaults")
        expect(not found, f"problems with a spec of defaults: {found!r}")

    @remedy("step along the gradient, not against it: L is raised; give `lr` a default that suits numbers of order 1")
    def test_climbs_a_hill(self, subject: Subject) -> None:
        """500 steps with the default options raise a quadratic function by half of what a member lacks at least."""
        hill = Hill.of()
        at, state = climbed(subject, hill, STEPS)
        expect_finite(at, "the parameters")
        for name, value in state.items():
            expect_finite(value, f"state {name!r}")
        lacking, left = -hill.height(torch.zeros_like(at)), -hill.height(at)
        expect(bool((left <= (1 - LEAST_CLIMB) * lacking).all()), f"{left.tolist()} nats left of {lacking.tolist()}")

    @remedy("divide by no norm or product that can be 0: where nothing has moved and the gradient is 0, nothing moves")
    def test_rests_without_a_gradient(self, subject: Subject) -> None:
        """From the start a gradient of 0 moves nothing, and what is kept stays finite."""
        hill, inner = Hill.of(), method(subject)
        at = hill.target
        rate, first = torch.tensor(0.1, dtype=DOUBLE), torch.tensor(0)
        after, state = inner.ascend(at, torch.zeros_like(at), inner.start(at), rate, first, hill.numbers)
        expect_close(after, at, "the parameters after a gradient of 0", 0.0)
        for name, value in state.items():
            expect_finite(value, f"state {name!r}")

    @remedy("return new tensors: the parameters, the gradient and the state that were given stay as they are")
    def test_changes_nothing_in_place(self, subject: Subject) -> None:
        """`ascend` leaves its arguments as they are, and gives the same for the same."""
        hill, inner = Hill.of(), method(subject)
        at, state = climbed(subject, hill, 3)
        gradient, before = hill.gradient(at), copies({"parameters": at, **state})
        arguments: Any = (at, gradient, state, torch.tensor(0.1, dtype=DOUBLE), torch.tensor(3), hill.numbers)
        first, again = inner.ascend(*arguments), inner.ascend(*arguments)
        expect_all_close({"parameters": at, **state}, before, "after a step")
        expect_close(gradient, hill.gradient(at), "the gradient after a step", 0.0)
        expect_close(again[0], first[0], "the parameters after the same step again", 0.0)

    @remedy("sum over a member's numbers by members.sum_by_member and hand values back by members.spread")
    def test_members_do_not_mix(self, subject: Subject) -> None:
        """Where a member's steps lead doesn't depend on the members beside it."""
        whole, alone = Hill.of(), Hill.of(1)
        together, by_itself = (climbed(subject, hill, 20)[0] for hill in (whole, alone))
        expect_close(by_itself, together.reshape(OWN, MEMBERS)[:, 0], "the parameters of a member alone", ONE_MEMBER)

    @remedy("choose with torch.where, not with `if`: steps are traced once and then compiled")
    def test_branches_on_no_value(self, subject: Subject) -> None:
        """A step that was traced at the start is right at later steps, too."""
        hill, inner = Hill.of(), method(subject)

        def step(at: Tensor, gradient: Tensor, state: State, rate: Tensor, number: Tensor) -> tuple[Tensor, State]:
            return inner.ascend(at, gradient, state, rate, number, hill.numbers)

        rate, start = torch.tensor(0.1, dtype=DOUBLE), torch.zeros_like(hill.target)
        traced = make_fx(step)(start, hill.gradient(start), inner.start(start), rate, torch.tensor(0))
        at, state = climbed(subject, hill, 5)
        arguments = (at, hill.gradient(at), state, rate, torch.tensor(5))
        (found, found_state), (expected, expected_state) = traced(*arguments), step(*arguments)
        expect_close(found, expected, "the parameters after a traced step", ONE_MEMBER)
        expect_all_close(found_state, expected_state, "after a traced step")

    @remedy("say in `step_sizes` what `ascend` does: (P,), none below 0; without any leave `has_step_sizes` False")
    def test_step_sizes_are_sizes(self, subject: Subject) -> None:
        """Where there are step sizes, they are (P,), finite and not negative."""
        if not subject.plugin.has_step_sizes:
            return
        hill = Hill.of()
        at, state = climbed(subject, hill, 4)
        rate, number = torch.tensor(0.1, dtype=DOUBLE), torch.tensor(4)
        found = subject.plugin.step_sizes(subject.options, state, hill.gradient(at), rate, number)
        expect(tuple(found.shape) == tuple(at.shape), f"step sizes of shape {tuple(found.shape)}")
        expect_finite(found, "the step sizes")
        expect(bool((found >= 0).all()), f"{found.tolist()}")

    @remedy("return None from `momentum` unless steps are v ← μ v + ∇L, θ ← θ + rate · v, state {'velocity': v}")
    def test_momentum_is_that_of_its_steps(self, subject: Subject) -> None:
        """With a momentum, steps are gradient steps with it."""
        momentum = subject.plugin.momentum(subject.options)
        if momentum is None:
            return
        hill = Hill.of()
        at, state = climbed(subject, hill, 3)
        gradient, rate = hill.gradient(at), torch.tensor(0.1, dtype=DOUBLE)
        expect(set(state) == {"velocity"}, f"a state of {sorted(state)}")
        after, kept = method(subject).ascend(at, gradient, state, rate, torch.tensor(3), hill.numbers)
        velocity = momentum * state["velocity"] + gradient
        expect_close(kept["velocity"], velocity, "the velocity", ONE_MEMBER)
        expect_close(after, at + rate * velocity, "the parameters after a step", ONE_MEMBER)
