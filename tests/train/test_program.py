"""Traced programs compute what the function does, for other arguments too."""

from __future__ import annotations

import pytest
import torch
from handmade import (
    DOUBLE,
    keys_of,
    make_bound,
    noise_of,
    normal,
    perturbed,
    pick,
    population,
    rich_graph,
    start,
    structures,
)

from structflow.train.conditioning import Coordinates
from structflow.train.entries import entries_of
from structflow.train.flat import FlatLayout
from structflow.train.inner_method import OptimizerState, inner_method
from structflow.train.program import program_for
from structflow.train.step import Constants, Objectives, StepControl, StepInputs, StepState, make_step

RICH = rich_graph()


def arguments(bound, seed: int, step: int):
    """The arguments of a training step, all of them different for every seed and step."""
    parameters = perturbed(start(bound, seed), seed)
    tree = bound.of_labels(parameters)
    layout = FlatLayout.of(bound.described, tree)
    flat = layout.pack(tree)
    noise = noise_of(bound, keys_of(bound.population, seed), 2, step)
    rate = torch.tensor(0.01 * (seed + 1), dtype=DOUBLE)
    metaparameters = torch.tensor([0.5 + seed, 1.0, 0.5 + seed, 0.0, 0.3 + 0.1 * seed], dtype=DOUBLE)
    indices = bound.population.indices
    entries = entries_of(bound, layout, DOUBLE)._replace(limit=torch.full_like(flat, 3.0 + seed))
    optimizer = OptimizerState(flat, {"first": 0.1 * flat, "second": flat.square()})
    inputs = StepInputs(
        metaparameters,
        noise,
        normal(5, 3, seed=seed),
        normal(5, 1, seed=9 + seed),
        torch.tensor(1.0 + seed, dtype=DOUBLE),
        {},
        Constants(bound.against, indices, {}),
    )
    control = StepControl(torch.tensor(step), rate, torch.tensor(step > 0))
    return StepState(optimizer, torch.full((bound.population.size,), -1)), control, entries, inputs


def step_of(bound):
    layout = FlatLayout.of(bound.described, bound.of_labels(start(bound)))
    return make_step(Objectives(bound, layout, Coordinates(bound, {})), 1, inner_method())


def assert_equal_results(bound, program, seed: int, step: int) -> None:
    direct, traced = arguments(bound, seed, step), arguments(bound, seed, step)
    expected, found = step_of(bound)(*direct), program(*traced)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(traced[0].optimizer, direct[0].optimizer, rtol=1e-12, atol=1e-12)
    assert torch.equal(direct[0].diverged_at, traced[0].diverged_at)


PRIORS = [
    {"weights": {"precision": 2.0}},
    {"weights": {"precision": "shared"}},
    {"weights": {"precision": "per_function"}},
    {"weights": {"precision": "per_parameter"}},
]


@pytest.mark.parametrize("prior", PRIORS)
def test_one_program_serves_populations_of_one_signature(prior):
    """Traced with the members of one batch; another batch brings its own index tensors, noise, data and scalars."""
    capacities = [[7] * len(link.functions) for link in RICH.edges]
    bounds = [
        make_bound(population(RICH, pick(structures(RICH), 6, seed), capacities=capacities), prior=prior)
        for seed in range(3)
    ]
    assert len({bound.signature for bound in bounds}) == 1
    program = program_for(("test", bounds[0].signature), step_of(bounds[0]), arguments(bounds[0], 0, 0), False)
    for seed, bound in enumerate(bounds):
        for step in (0, 5):
            assert_equal_results(bound, program, seed, step)


@pytest.mark.parametrize("noise", ["learned", 0.3])
def test_relaxed_members_and_fixed_noise(noise):
    """What is constant in the program (a fixed σ, s and θ_temp) is in the signature; the rest are arguments."""
    bound = make_bound(
        population(RICH, [None] * 2, [0, 1], scale_by_structure=True),
        likelihood_options={"noise": noise},
        prior={"structure": {"concentration": 0.5}},
        posterior={"structure": {"temperature": 0.8}},
    )
    program = program_for(("test", bound.signature), step_of(bound), arguments(bound, 0, 0), False)
    for seed in range(3):
        assert_equal_results(bound, program, seed, seed)


def test_tracing_leaves_the_example_as_it_was():
    def double(values):
        values["a"].mul_(2)
        return values["a"].sum()

    example = ({"a": torch.ones(3)},)
    program = program_for(("double",), double, example, False)
    assert example[0]["a"].tolist() == [1.0] * 3
    assert program(*example) == 6
    assert example[0]["a"].tolist() == [2.0] * 3
    assert program_for(("double",), double, example, False) is program


def test_the_order_of_the_parameters_does_not_matter():
    """Parameters may come from a store that lists them in another order: the vector is the same, by label."""
    bound = make_bound(population(RICH, [None]))
    parameters = perturbed(start(bound))
    one, other = (bound.of_labels(each) for each in (parameters, dict(reversed(parameters.items()))))
    layout = FlatLayout.of(bound.described, one)
    assert layout == FlatLayout.of(bound.described, other)
    packed = layout.pack(other)
    assert torch.equal(packed, torch.cat([parameters[label].flatten() for label in sorted(parameters)]))
    for label, value in bound.labelled(layout.unpack(packed)).items():
        assert torch.equal(value, parameters[label])


def test_what_is_wanted_for_its_shape_alone_is_not_computed():
    """ones_like(x xᵀ) needs no product; an operation in place stays though nothing uses what it gives."""

    def function(x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        kept.add_(1.0)
        return 2.0 * torch.ones_like(x @ x.T)

    x, kept = normal(3, 2, seed=1), torch.zeros(1, dtype=DOUBLE)
    program = program_for(("shape alone",), function, (x, kept), False)
    assert not [node for node in program.graph.nodes if "mm" in str(node.target)]
    assert torch.equal(program(x, kept), torch.full((3, 3), 2.0, dtype=DOUBLE))
    assert kept.item() == 1.0
