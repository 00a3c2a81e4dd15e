"""Methods that differentiate through steps of θ, against finite differences and an unroll by autograd, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, make_bound, normal, population, stage_by_hand, start, structures
from torch import Tensor

from structflow.errors import CallError
from structflow.plugins.registry import registry
from structflow.train.inner_method import inner_method
from structflow.train.metaparameters import MetaparameterTables
from structflow.train.outer_level import OuterAscent, OuterLevel, outer_ascent
from structflow.train.stage_inputs import TrainingData
from structflow.train.two_level_point import Point

X, Y = normal(30, 3, seed=1), normal(30, 1, seed=2)
STEPS, RATE = 12, 2e-3
# c_reg, c_train, c_prior, c_comb, c_temp: Q isn't a multiple of L, so that the response of θ matters.
VALUES = torch.tensor([0.7, 1.3, 4.0, 0.0, 0.5], dtype=DOUBLE)


@dataclass
class Problem:
    """Two networks, their start, and θ's steps by the rule itself: v ← μ v + ∇L, θ ← θ + β v."""

    ascent: OuterAscent
    flat: Tensor
    steps: int

    def inner_slope(self, at: Tensor, step: int, differentiable: bool) -> Tensor:
        inputs = self.ascent.stage.inputs.at(step)
        if differentiable:
            value = self.ascent.stage.objectives.total_inner(at, inputs)
            (slope,) = torch.autograd.grad(value, at, create_graph=True)
        else:
            slope = torch.func.grad(self.ascent.stage.objectives.total_inner)(at, inputs)
        return torch.where(self.ascent.stage.entries.of_h, torch.zeros_like(slope), slope)

    def states(self, flat: Tensor, differentiable: bool = False) -> list[Tensor]:
        """θ and h after 0, …, η steps."""
        at, velocity, visited = flat, torch.zeros_like(flat), [flat]
        for step in range(self.steps):
            velocity = (self.ascent.inner.momentum or 0.0) * velocity + self.inner_slope(at, step, differentiable)
            at = at + self.ascent.stage.inputs.setup.tables.rate[step] * velocity
            visited.append(at)
        return visited

    def outer(self, at: Tensor) -> Tensor:
        return self.ascent.stage.objectives.total_outer(at, self.ascent.stage.inputs.of_outer(self.steps - 1, 0, 2))

    def unrolled(self) -> Tensor:
        """dQ/dh by reverse mode through all steps."""
        flat = self.flat.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.outer(self.states(flat, differentiable=True)[-1]), flat)
        return slope[self.ascent.stage.entries.of_h]

    def differences(self, size: float = 1e-5) -> Tensor:
        """dQ/dh by central differences."""
        found = []
        for place in torch.nonzero(self.ascent.stage.entries.of_h).flatten():
            unit = torch.zeros_like(self.flat)
            unit[place] = size
            high, low = (float(self.outer(self.states(self.flat + sign * unit)[-1])) for sign in (1, -1))
            found.append((high - low) / (2 * size))
        return torch.tensor(found, dtype=DOUBLE)

    def point(self, second: Tensor | None = None) -> Point:
        """The point after all steps, as the trainer would make it; `second` is Adam's."""
        kept = self.ascent.inner.start(self.flat)
        self.ascent.before(0, self.flat, kept)
        inputs = self.ascent.stage.inputs.of_outer(self.steps - 1, 0, 2)
        end = self.states(self.flat)[-1]
        return self.ascent.point(end, self.steps - 1, inputs, kept if second is None else {**kept, "second": second})

    def found(self) -> Tensor:
        level = self.ascent.level
        return level.method.gradient(level.options, self.point()).gradient[self.ascent.stage.entries.of_h]


def problem(
    name: str, momentum: float = 0.0, steps: int = STEPS, batch_size: int | None = 10, inner=None, **keys
) -> Problem:
    of = graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense", activation="tanh"), fn("dense", activation="softplus")),
        edge("h", "y", "all", fn("linear")),
    )
    weights = {"weights": {"precision": "per_function"}}
    bound = make_bound(population(of, structures(of)), likelihood_options={"noise": 0.6}, prior=weights)
    parameters = start(bound)
    registration = registry().of_kind("hypergradients")[name]
    every = {} if name == "greedy" else {"every": steps}
    level = OuterLevel(registration.plugin, registration.options(samples=2, **every, **keys), (0, 1))
    rates = RATE * torch.linspace(1, 0.5, steps, dtype=DOUBLE)
    tables = MetaparameterTables(rates, VALUES.repeat(steps, 1), torch.ones(steps).bool())
    stage = stage_by_hand(bound, parameters, TrainingData(X, Y), tables, 2, batch_size)
    ascent = outer_ascent(level, stage, inner or inner_method("sgd", momentum=momentum))
    return Problem(ascent, stage.start, steps)


@pytest.mark.parametrize(
    ("steps", "momentum"),
    [
        (1, 0.0),
        (STEPS, 0.9),
        *(pytest.param(*each, marks=pytest.mark.thorough) for each in ((1, 0.9), (4, 0.0), (4, 0.9), (STEPS, 0.0))),
    ],
)
def test_the_exact_reverse_pass(momentum, steps):
    """To 1e-9 what autograd gives through the loop, to 1e-5 what finite differences give; minibatches and all."""
    of = problem("reversible", momentum, steps)
    expected = of.unrolled()
    torch.testing.assert_close(of.found(), expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(of.found(), of.differences(), rtol=1e-5, atol=1e-7)
    assert expected.abs().min() > 1e-4


def test_checkpoints_number_the_root_of_the_steps():
    """10 steps take ⌈√10⌉ = 4 at a time; each of them is visited once, in reverse."""
    from structflow.builtin.hypergradients.reversible import backwards

    of = problem("reversible", 0.5, 10)
    visited = list(backwards(of.point().path))
    assert [each.step for each in visited] == list(reversed(range(10)))
    states = of.states(of.flat)
    for each in visited:
        torch.testing.assert_close(each.at, states[each.step], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_drmad_given_the_true_path_is_the_unroll(momentum):
    from structflow.builtin.hypergradients.reverse_pass import Visited, through_steps

    of = problem("drmad", momentum)
    point, states = of.point(), of.states(of.flat)
    path = point.path
    visited = [Visited(step, states[step], path.rate(step), path.momentum) for step in reversed(range(STEPS))]
    found = through_steps(point, visited)[of.ascent.stage.entries.of_h]
    torch.testing.assert_close(found, of.unrolled(), rtol=1e-9, atol=1e-10)


def test_drmad_of_one_step_is_exact_and_of_many_is_near():
    """A single step is a straight path; over 12 small ones the line is off by little, but off."""
    one = problem("drmad", steps=1, skipped=0)
    torch.testing.assert_close(one.found(), one.unrolled(), rtol=1e-9, atol=1e-10)
    many = problem("drmad", steps=STEPS, skipped=0)
    torch.testing.assert_close(many.found(), many.unrolled(), rtol=0.02, atol=0.01)
    assert not torch.allclose(many.found(), many.unrolled(), rtol=1e-9, atol=1e-10)


def test_drmad_visits_every_so_many_steps_of_a_line():
    from structflow.builtin.hypergradients.drmad import straight

    of = problem("drmad", momentum=0.5, steps=10, batch_size=None)
    path, states = of.point().path, of.states(of.flat)
    visited = list(straight(path, skipped=0.2, stride=3))
    # 10 steps, the first 2 skipped: 9, 6, 3; a stride of 3 at momentum ½ has momentum ⅛ and 3 · (7/8) / (1/2) rates.
    assert [each.step for each in visited] == [9, 6, 3]
    for each in visited:
        share = (each.step - 2) / 8
        torch.testing.assert_close(each.at, states[2] + share * (states[10] - states[2]), rtol=1e-12, atol=1e-12)
        assert each.momentum == 0.125
        torch.testing.assert_close(each.rate, 5.25 * path.rate(each.step))


@pytest.mark.parametrize("steps", [1, 4])
def test_greedy_is_exact_through_the_last_step(steps):
    """Of one step it is what autograd gives through it: 1e-9. Of more it is that of the last one, θ_{η−1} held."""
    of = problem("greedy", steps=steps)
    states = of.states(of.flat)
    of.ascent.before(steps - 1, states[-2], of.ascent.inner.start(of.flat))
    inputs = of.ascent.stage.inputs.of_outer(steps - 1, 0, 2)
    point = of.ascent.point(states[-1], steps - 1, inputs, of.ascent.inner.start(of.flat))
    found = of.ascent.level.method.gradient(of.ascent.level.options, point).gradient
    assert (found[~of.ascent.stage.entries.of_h] == 0).all()
    start = states[-2].clone().requires_grad_()
    slope = of.inner_slope(start, steps - 1, differentiable=True)
    end = start + of.ascent.stage.inputs.setup.tables.rate[steps - 1] * slope
    (expected,) = torch.autograd.grad(of.outer(end), start)
    of_h = of.ascent.stage.entries.of_h
    torch.testing.assert_close(found[of_h], expected[of_h], rtol=1e-9, atol=1e-10)
    if steps == 1:
        torch.testing.assert_close(found[of_h], of.unrolled(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["greedy", "first_order"])
def test_one_program_for_all_of_a_step_does_the_same(name, monkeypatch):
    """A method that is flat raises h to the same numbers when its gradient is asked for apart from the step."""
    ends = []
    for flat in (True, False):
        monkeypatch.setattr(registry().of_kind("hypergradients")[name].plugin, "flat", flat)
        of = problem(name, inner=inner_method(), momentum=0.5)
        at, kept = of.flat.clone(), {"first": of.flat, "second": torch.full_like(of.flat, 0.04)}
        for iteration in range(3):
            of.ascent.before(iteration, 0.9 * at, kept)
            of.ascent.move(at, iteration, of.ascent.stage.inputs.of_outer(iteration, iteration, 2), kept)
        ends.append(at)
        assert [report["hypergradient"].shape for report in of.ascent.reports] == [(2,)] * 3
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-14)
    assert float((ends[0] - of.flat)[of.ascent.stage.entries.of_h].abs().min()) > 1e-3


def test_step_sizes_are_those_of_the_inner_method():
    """β/(1 − μ) of gradient steps; Adam's rate over √v̂, v̂ = (0.999 v + 0.001 g²) / (1 − 0.999^t) after t steps."""
    sgd = problem("greedy", momentum=0.75)
    rate = float(sgd.ascent.stage.inputs.setup.tables.rate[STEPS - 1])
    assert sgd.point().step_sizes.tolist() == pytest.approx([4 * rate] * len(sgd.flat))
    adam = problem("greedy", inner=inner_method())
    second = torch.full_like(adam.flat, 0.04)
    point = adam.point(second)
    mean_square = (0.999 * second + 0.001 * point.inner_gradient() ** 2) / (1 - 0.999 ** (STEPS + 1))
    torch.testing.assert_close(point.step_sizes, rate / (mean_square**0.5 + 1e-8), rtol=1e-12, atol=0)


def test_a_number_that_stood_still_is_not_sent_away():
    """Adam's first step has the length of the rate, however small v was: |sizes · ∇L| ≤ rate at v = 0 and t = 1."""
    of = problem("greedy", inner=inner_method(), steps=1)
    kept = of.ascent.inner.start(of.flat)
    of.ascent.before(0, of.flat, kept)
    point = of.ascent.point(of.flat, 0, of.ascent.stage.inputs.of_outer(0, 0, 2), kept)
    rate = float(of.ascent.stage.inputs.setup.tables.rate[0])
    moved = (point.step_sizes * point.inner_gradient()).abs()
    # v̂ = 0.001 g² / (1 − 0.999²) after two steps, of which the first had no gradient
    assert float(moved.max()) == pytest.approx(rate * (0.001999 / 0.001) ** 0.5, rel=1e-6)


def test_the_mixed_product_is_the_part_of_the_curvature_along_h():
    of = problem("greedy")
    point = of.point()
    direction = torch.where(of.ascent.stage.entries.of_h, 0.0, normal(len(of.flat), seed=5))
    whole = point.curvature_product(direction)
    expected = torch.where(of.ascent.stage.entries.of_h, whole, torch.zeros_like(whole))
    torch.testing.assert_close(point.mixed_product(direction), expected, rtol=1e-9, atol=1e-12)
    assert float(expected.abs().max()) > 0.01


def test_only_a_method_that_says_so_has_the_path():
    of = problem("greedy")
    with pytest.raises(CallError, match="follows_path = True"):
        _ = of.point().path
