"""Hypergradients against finite differences, dense linear algebra and closed forms, in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
    best_start,
    edge,
    fn,
    graph,
    make_bound,
    normal,
    population,
    stage_by_hand,
    start,
    structures,
)

from structflow.errors import CallError
from structflow.objective.bound import BoundInputs, Noise
from structflow.objective.levels import Metaparameters, inner_level, outer_level
from structflow.plugins.registry import registry
from structflow.train.entries import entries_of
from structflow.train.flat import FlatLayout
from structflow.train.inner_method import inner_method
from structflow.train.linear_structures import Level
from structflow.train.metaparameters import MetaparameterTables
from structflow.train.outer_level import OuterLevel, outer_ascent, representatives
from structflow.train.stage_inputs import TrainingData
from structflow.train.two_level_point import Point

X, Y = normal(30, 3, seed=1), normal(30, 1, seed=2)
C_REG, C_TRAIN, C_PRIOR = 0.7, 1.3, 4.0
VALUES = torch.tensor([C_REG, C_TRAIN, C_PRIOR, 0.0, 0.5], dtype=DOUBLE)
ONE = torch.ones((), dtype=DOUBLE)


def linear_graph():
    return graph({"x": (3,), "y": (1,)}, edge("x", "y", "one", fn("linear"), fn("dense", activation="tanh")))


def method(name: str, **options):
    registration = registry().of_kind("hypergradients")[name]
    return registration.plugin, registration.options(**options)


def ascent_of(bound, parameters, name: str = "hoag", values=VALUES, tied=None, samples: int = 1, rows=None, **options):
    """The outer ascent and the point (flat, inputs) at these parameters, in plain coordinates."""
    plugin, chosen = method(name, **options)
    members = bound.population.size
    level = OuterLevel(plugin, chosen, tuple(range(members)) if tied is None else tied)
    steps = 10
    tables = MetaparameterTables(torch.ones(steps, dtype=DOUBLE), values.repeat(steps, 1), torch.ones(steps).bool())
    stage = stage_by_hand(bound, parameters, TrainingData(X, Y, rows or {}), tables, samples)
    return outer_ascent(level, stage, inner_method()), stage.start, stage.inputs.of_outer(0, 0, samples)


def point_of(ascent, flat, inputs) -> Point:
    members = ascent.stage.objectives.bound.population.size
    return Point(
        flat,
        inputs,
        0,
        ~ascent.stage.entries.of_h,
        torch.ones_like,
        ascent.stage.entries.member_of,
        members,
        ascent._program,
    )


def levels_at(bound, parameters, values=VALUES) -> tuple[torch.Tensor, torch.Tensor]:
    """L and Q of every member of a bound where nothing is random."""
    nothing = Noise(torch.zeros(1, 0, dtype=DOUBLE), torch.zeros(1, 0, dtype=DOUBLE))
    at = Metaparameters(*values)
    terms = bound.terms(
        bound.of_labels(parameters), BoundInputs(nothing, X, Y, at.c_temp, bound.population.indices, ONE)
    )
    return inner_level(terms, at), outer_level(terms, at)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter"])
def test_hoag_is_the_total_derivative_of_a_linear_model(covariance, precision):
    """θ*(h) has a closed form, so central differences of Q(θ*(h), h) are the truth: equal to 6 digits."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    bound = make_bound(
        population(of, structures(of) * 2, [0, 1]),
        likelihood_options={"noise": 0.6},
        prior={"weights": {"precision": precision}},
        posterior={"weights": {"covariance": covariance}},
    )
    parameters = start(bound)
    for number, name in enumerate(name for name in parameters if name.startswith("log_precision")):
        parameters[name] = parameters[name] + normal(*parameters[name].shape, seed=number)

    def at_optimum(values):
        return best_start(bound, values, Level(X, Y, C_REG))

    best = at_optimum(parameters)
    ascent, flat, inputs = ascent_of(bound, best, tolerance=1e-9)
    point = point_of(ascent, flat, inputs)
    assert point.inner_gradient()[~ascent.stage.entries.of_h].abs().max() < 1e-8
    found = ascent.level.method.gradient(ascent.level.options, point)
    assert found.report["damping"].tolist() == [0.0, 0.0]
    gradients = bound.labelled(ascent.stage.objectives.layout.unpack(found.gradient))
    step = 1e-5
    for name in (name for name in parameters if name.startswith("log_precision")):
        for place in np.ndindex(parameters[name].shape):
            sides = []
            for sign in (1, -1):
                moved = {**parameters, name: parameters[name].clone()}
                moved[name][place] += sign * step
                sides.append(levels_at(bound, at_optimum(moved))[1].sum())
            expected = float(sides[0] - sides[1]) / (2 * step)
            assert float(gradients[name][place]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def network_bound(**settings):
    of = graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense", activation="tanh"), fn("dense", activation="relu")),
        edge("h", "y", "all", fn("linear")),
    )
    return make_bound(population(of, structures(of)), likelihood_options={"noise": 0.6}, **settings)


def test_conjugate_gradients_solve_what_dense_algebra_solves():
    """H of each member apart, by jacobians of the gradient; a damped one where it isn't positive definite."""
    bound = network_bound()
    parameters = start(bound)
    ascent, flat, inputs = ascent_of(bound, parameters, samples=3, tolerance=1e-8, iterations=2000)
    point = point_of(ascent, flat, inputs)
    hessian = torch.stack([point.curvature_product(row) for row in torch.eye(len(flat), dtype=DOUBLE)])
    torch.testing.assert_close(hessian, hessian.T, rtol=1e-8, atol=1e-8)
    found = ascent.level.method.gradient(ascent.level.options, point)
    of_q = point.outer_gradient()
    for member in range(bound.population.size):
        own = (ascent.stage.entries.member_of == member) & ~ascent.stage.entries.of_h
        h = (ascent.stage.entries.member_of == member) & ascent.stage.entries.of_h
        damping = float(found.report["damping"][member])
        block = hessian[own][:, own]
        response = torch.linalg.solve(block + damping * torch.eye(int(own.sum()), dtype=DOUBLE), of_q[own])
        expected = of_q[h] - hessian[h][:, own] @ response
        torch.testing.assert_close(found.gradient[h], expected, rtol=1e-4, atol=1e-5)
    other = hessian[ascent.stage.entries.member_of == 0][:, ascent.stage.entries.member_of == 1]
    assert float(other.abs().max()) == 0.0


def test_envelope_hoag_is_first_order_where_q_is_a_multiple_of_l():
    """c_prior = c_reg · c_train and θ at the optimum: ∇_θ Q = 0, so both give ∂Q/∂h."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    bound = make_bound(population(of, structures(of)), likelihood_options={"noise": 0.6})
    values = torch.tensor([C_REG, C_TRAIN, C_REG * C_TRAIN, 0.0, 0.5], dtype=DOUBLE)
    best = best_start(bound, start(bound), Level(X, Y, C_REG))
    gradients = []
    for name in ("hoag", "first_order"):
        ascent, flat, inputs = ascent_of(bound, best, name, values)
        point = point_of(ascent, flat, inputs)
        gradients.append(ascent.level.method.gradient(ascent.level.options, point).gradient)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


def test_members_with_h_in_common_add_their_hypergradients_up():
    """Two folds of each structure: both copies of log A get the sum of the two; the other structure's don't mix in."""
    of = linear_graph()
    chosen = structures(of)
    bound = make_bound(
        population(of, [*chosen, *chosen], [0, 0, 1, 1]), prior={"weights": {"precision": "per_parameter"}}
    )
    parameters = start(bound)
    apart, flat, inputs = ascent_of(bound, parameters, "first_order", samples=2)
    tied, *_ = ascent_of(bound, parameters, "first_order", samples=2, tied=(0, 1, 0, 1))
    gradient = apart.level.method.gradient(apart.level.options, point_of(apart, flat, inputs)).gradient
    summed = gradient.new_zeros(len(gradient)).index_add(0, tied.representative, gradient)[tied.representative]
    layout = apart.stage.objectives.layout
    for number, group in enumerate(bound.population.layout.groups):
        index = bound.population.groups[number]
        name = f"log_precision/{group.name}/{next(iter(group.shapes))}"
        before, after = (bound.labelled(layout.unpack(each))[name] for each in (gradient, summed))
        users = [member for member in range(4) if index.positions[member] < len(index.slots)]
        assert len(users) == 2
        total = sum(before[index.positions[member]] for member in users)
        for member in users:
            torch.testing.assert_close(after[index.positions[member]], total)


def test_numbers_and_their_members():
    """Every number of a member's own weights belongs to that member, in a batch with spare slots too."""
    of = linear_graph()
    members = population(of, structures(of), [0, 0], capacities=[[2, 2]])
    bound = make_bound(members)
    parameters = start(bound)
    layout = FlatLayout.of(bound.described, bound.of_labels(parameters))
    owners = bound.labelled(layout.unpack(entries_of(bound, layout, DOUBLE).member_of))
    for number, group in enumerate(members.layout.groups):
        slots = torch.from_numpy(members.groups[number].slots)
        assert (owners[f"mean/{group.name}"] == slots.unsqueeze(1)).all()
    assert torch.equal(
        representatives(bound, layout, (0, 1)), torch.arange(len(layout.pack(bound.of_labels(parameters))))
    )


def test_hyperparameters_without_influence_are_refused():
    """c_prior = 0 and first order: ∂Q/∂h is zero, which would silently never move h."""
    bound = network_bound()
    values = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.5], dtype=DOUBLE)
    ascent, flat, inputs = ascent_of(bound, start(bound), "first_order", values)
    with pytest.raises(CallError, match="without influence on Q: log_precision"):
        ascent.move(flat, 0, inputs, ascent.inner.start(flat))


def test_moving_h_leaves_theta():
    bound = network_bound()
    ascent, flat, inputs = ascent_of(bound, start(bound), "first_order", rate=0.1)
    before = flat.clone()
    ascent.move(flat, 0, inputs, ascent.inner.start(flat))
    assert torch.equal(flat[~ascent.stage.entries.of_h], before[~ascent.stage.entries.of_h])
    # Adam's first step has the length of the rate
    torch.testing.assert_close(
        (flat - before)[ascent.stage.entries.of_h].abs(), torch.full((2,), 0.1, dtype=DOUBLE), rtol=1e-5, atol=0
    )
    assert dataclasses.asdict(ascent.level)["tied"] == (0, 1)
