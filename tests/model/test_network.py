"""Network.forward against the formula, one member and one sample at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import (
    MemberWeights,
    chosen_by,
    edge,
    fn,
    graph,
    normal,
    pick,
    population,
    rich_graph,
    slow_output,
    structures,
)
from torch import Tensor
from torch.func import jacrev

from structflow.errors import CallError
from structflow.model.population import Population, member_values
from structflow.plugins import Candidate
from structflow.spec.graph import Graph
from structflow.spec.structures import Structure

ROWS = 4
RICH = rich_graph()
X = normal(ROWS, 3, seed=11)


def random_weights(members: Population, samples: int) -> list[dict[str, Tensor]]:
    return [
        {
            name: normal(len(index.slots), samples, *shape, seed=100 * number + place)
            for place, (name, shape) in enumerate(group.shapes.items())
        }
        for number, (group, index) in enumerate(zip(members.layout.groups, members.groups, strict=True))
    ]


def random_gamma(members: Population, samples: int) -> list[Tensor | None]:
    gamma: list[Tensor | None] = [None] * len(members.layout.graph.edges)
    for number in members.choice_edges:
        count = len(members.layout.graph.edges[number].functions)
        gamma[number] = normal(members.size, samples, count, seed=900 + number).abs()
    return gamma


def reference(of: Graph, members: Population, weights, gamma, x: Tensor, samples: int) -> Tensor:
    """(M, S, rows, *shape) by loops over members and samples."""
    rows = []
    for member, candidate in enumerate(members.members):
        for sample in range(samples):
            row = {
                of.edges[number].key: value[member, sample] for number, value in enumerate(gamma) if value is not None
            }
            look_up = MemberWeights(members, weights, member, sample)
            chosen = chosen_by(of, candidate.structure)
            scaled = members.network.scale_by_structure
            rows.append(slow_output(of, members.layout.node_shapes, chosen, look_up, row, x, scaled))
    return torch.stack(rows).unflatten(0, (members.size, samples))


def check(of: Graph, members: Population, samples: int, x: Tensor = X) -> None:
    weights, gamma = random_weights(members, samples), random_gamma(members, samples)
    none = [None] * len(weights)
    output = members.network.forward(weights, none, gamma, x, members.indices.edges)
    expected = reference(of, members, weights, gamma, x, samples)
    assert output.variance is None
    torch.testing.assert_close(output.mean.expand(expected.shape), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_any_batch_of_structures(seed, samples):
    """20 of the 3 · 8 · 1 · 3 · 4 = 288 structures, in random order: indexed routings on every edge with a choice."""
    assert RICH.structure_space().n_combinations == 288
    check(RICH, population(RICH, pick(structures(RICH), 20, seed)), samples)


def test_all_structures_as_a_grid_with_restarts():
    """The whole space in its own order, twice: views on every edge, restarts innermost."""
    members = [structure for structure in structures(RICH) for _ in range(2)]
    whole = population(RICH, members, restarts=[0, 1] * 288)
    kinds = [type(routing).__name__ for routing in whole.network.routings]
    assert kinds == ["GridOne", "GridAny", "Everyone", "GridOne", "GridAny"]
    check(RICH, whole, 2)


def test_spare_slots_and_functions_that_nobody_uses():
    members = pick(structures(RICH), 9, 4)
    capacities = [[9] * len(link.functions) for link in RICH.edges]
    check(RICH, population(RICH, members, capacities=capacities), 2)
    same = [members[0]] * 3
    check(RICH, population(RICH, same, restarts=[0, 1, 2]), 2)
    check(RICH, population(RICH, same, [0, 1, 2], capacities=[[4] * len(e.functions) for e in RICH.edges]), 2)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("samples", [1, 4])
def test_relaxed_members(samples, scale):
    """γ multiplies every output, and with scale_by_structure the weights too: γ · g(f; γ v)."""
    relaxed = population(RICH, [None] * 3, restarts=[0, 1, 2], scale_by_structure=scale)
    assert relaxed.choice_edges == (0, 1, 3, 4)
    check(RICH, relaxed, samples)


def test_the_empty_subset_gives_zero():
    """x->y is the only edge and chooses no function: f = 0 whatever x."""
    of = graph({"x": (2,), "y": (1,)}, edge("x", "y", "any", fn("linear"), fn("constant")))
    empty = Structure((("x->y", ()),))
    output = population(of, [empty] * 2, [0, 1]).network.forward([], [], [None], normal(5, 2), ((),))
    assert output.mean.shape == (2, 1, 5, 1)
    assert not output.mean.any()
    mixed = population(of, [empty, Structure((("x->y", ("constant",)),))])
    output = mixed.network.forward(
        [{"bias": torch.full((1, 1, 1), 7.0, dtype=torch.float64)}], [None], [None], normal(5, 2), mixed.indices.edges
    )
    assert output.mean[:, 0, :, 0].tolist() == [[0.0] * 5, [7.0] * 5]


def test_the_input_is_seen_in_the_shape_of_its_node():
    images = graph({"x": (2, 3), "y": (2, 3)}, edge("x", "y", "all", fn("elementwise", function="sin")))
    x = normal(5, 6)
    members = population(images, structures(images))
    output = members.network.forward([], [], [None], x, members.indices.edges)
    torch.testing.assert_close(output.mean, x.sin().reshape(1, 1, 5, 2, 3), rtol=0, atol=0)


def test_without_weights():
    """y = x + sin x for both members."""
    of = graph({"x": (2,), "y": (2,)}, edge("x", "y", "all", fn("identity"), fn("elementwise", function="sin")))
    members = population(of, structures(of) * 2, [0, 1])
    output = members.network.forward([], [], [None], X[:, :2], members.indices.edges)
    torch.testing.assert_close(output.mean, (X[:, :2] + X[:, :2].sin()).expand(2, 1, ROWS, 2))


def test_shared_weights_with_rows():
    """Two functions read their rows of one W (3×2): y = tanh(x_0 W_0 + b) + σ(x_1 W_1 + x_2 W_2 + b)."""
    of = graph(
        {"x": (3,), "y": (2,)},
        edge(
            "x", "y", "any", fn("dense", rows=[0], share="W"), fn("dense", activation="sigmoid", rows=[2, 1], share="W")
        ),
    )
    both = structures(of)[-1]
    members = population(of, [both])
    assert [group.shapes for group in members.layout.groups] == [{"weight": (3, 2), "bias": (2,)}]
    W, b = normal(3, 2, seed=1), normal(2, seed=2)
    weights = [{"weight": W.expand(1, 1, 3, 2), "bias": b.expand(1, 1, 2)}]
    output = members.network.forward(weights, [None], [None], X, members.indices.edges)
    expected = (X[:, :1] @ W[:1] + b).tanh() + (X[:, 1:] @ W[1:] + b).sigmoid()
    torch.testing.assert_close(output.mean[0, 0], expected)
    check(of, population(of, structures(of)), 2)


@pytest.mark.parametrize(("relaxed", "scale"), [(False, False), (True, False), (True, True)])
def test_variance_of_integrated_weights(relaxed, scale):
    """For f linear in the weights v of the last edges, Var f = Σ_i (∂f/∂v_i)² Var v_i, by automatic differentiation.

    Here v are those of `linear` and `polynomial` into y; everything before them is sampled.
    """
    samples = 2
    chosen = [None] * 2 if relaxed else pick(structures(RICH), 12, 6)
    members = population(RICH, chosen, list(range(len(chosen))), scale_by_structure=scale)
    weights, gamma = random_weights(members, samples), random_gamma(members, samples)
    linear = {"k->y/linear", "k->y/polynomial:2", "h->y/skip"}
    integrated = [group.name in linear for group in members.layout.groups]
    assert sum(integrated) == 3
    means = [
        {name: value[:, :1] for name, value in group.items()} if flag else group
        for group, flag in zip(weights, integrated, strict=True)
    ]
    variances = [
        {name: value[:, :1].square() for name, value in group.items()} if flag else None
        for group, flag in zip(weights, integrated, strict=True)
    ]
    output = members.network.forward(means, variances, gamma, X, members.indices.edges)
    torch.testing.assert_close(output.mean, reference(RICH, members, means, gamma, X, samples), rtol=1e-12, atol=1e-12)
    for member, candidate in enumerate(members.members):
        for sample in range(samples):

            def f(values, member=member, sample=sample, candidate=candidate):
                row = {RICH.edges[n].key: g[member, sample] for n, g in enumerate(gamma) if g is not None}
                chosen = chosen_by(RICH, candidate.structure)
                look_up = MemberWeights(members, values, member, sample)
                return slow_output(RICH, members.layout.node_shapes, chosen, look_up, row, X, scale)

            jacobian = jacrev(f)(means)
            expected = torch.zeros(ROWS, 1, dtype=torch.float64)
            for index, spread, derivative in zip(members.groups, variances, jacobian, strict=True):
                slot = int(index.positions[member])
                if spread is None or slot == len(index.slots):
                    continue
                for name, value in spread.items():
                    own = derivative[name][:, :, slot, 0].flatten(2)
                    expected += (own.square() * value[slot, 0].flatten()).sum(-1)
            torch.testing.assert_close(output.variance[member, sample], expected, rtol=1e-12, atol=1e-12)


def test_spare_slots_with_nan_reach_no_live_member():
    """NaN in every spare slot's weights, and a function nobody uses: outputs and gradients are those without spares."""
    chosen = pick(structures(RICH), 6, 9)
    tight = population(RICH, chosen)
    roomy = population(RICH, chosen, capacities=[[8] * len(link.functions) for link in RICH.edges])
    assert len(roomy.layout.groups) >= len(tight.layout.groups)
    values = {group.name: value for group, value in zip(tight.layout.groups, random_weights(tight, 2), strict=True)}
    spread = []
    for group, index in zip(roomy.layout.groups, roomy.groups, strict=True):
        own = {}
        for name, shape in group.shapes.items():
            own[name] = torch.full((len(index.slots), 2, *shape), float("nan"), dtype=torch.float64)
            for member, position in enumerate(index.positions):
                if position < len(index.slots):
                    old = next(
                        i for g, i in zip(tight.layout.groups, tight.groups, strict=True) if g.name == group.name
                    )
                    own[name][position] = values[group.name][name][old.positions[member]]
        spread.append(own)

    def gradients(members: Population, weights) -> tuple[Tensor, dict[tuple[str, str, int], Tensor]]:
        leaves = [{name: value.clone().requires_grad_() for name, value in group.items()} for group in weights]
        output = members.network.forward(leaves, [None] * len(leaves), [None] * 5, X, members.indices.edges).mean
        output.square().sum().backward()
        return output.detach(), {
            (group.name, name, member): value.grad[index.positions[member]]
            for group, index, own in zip(members.layout.groups, members.groups, leaves, strict=True)
            for name, value in own.items()
            for member in range(members.size)
            if index.positions[member] < len(index.slots) and value.grad is not None
        }

    expected, expected_gradients = gradients(tight, [values[group.name] for group in tight.layout.groups])
    output, found = gradients(roomy, spread)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    for key, gradient in expected_gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-10, atol=1e-12)


def test_member_values_finds_the_slot():
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "one", fn("linear"), fn("constant")))
    linear, constant = structures(of)
    members = population(of, [constant, linear, constant], [0, 0, 1], capacities=[[2, 2]])
    per_slot = torch.tensor([10.0, 11.0])
    assert [member_values(per_slot, members.groups[1], member) for member in range(3)] == [
        torch.tensor(10.0),
        None,
        torch.tensor(11.0),
    ]


def test_too_few_slots_are_refused():
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "one", fn("linear"), fn("constant")))
    with pytest.raises(CallError, match="x->y has"):
        population(of, structures(of), capacities=[[1, 0]])


def test_the_order_of_edges_in_a_structure_does_not_matter():
    of = rich_graph()
    structure = pick(structures(of), 1, 3)[0]
    backwards = Structure(structure.edges[::-1])
    forth, back = population(of, [structure]), population(of, [backwards])
    assert forth.signature == back.signature


def signature_of(of: Graph, members) -> str:
    return population(of, members).signature


def test_programs_of_different_graphs_have_different_signatures():
    """Same shapes and functions, but another edge, space or order of nodes: another computation."""
    shapes = {"x": (2,), "h": (2,), "y": (2,)}
    chain = graph(shapes, edge("x", "h", "one", fn("dense"), fn("linear")), edge("h", "y", "all", fn("linear")))
    skip = graph(shapes, edge("x", "h", "one", fn("dense"), fn("linear")), edge("x", "y", "all", fn("linear")))
    cube = replace(chain, edges=(replace(chain.edges[0], space="any"), chain.edges[1]))
    signatures = {signature_of(of, [None, None]) for of in (chain, skip, cube)}
    assert len(signatures) == 3
    assert signature_of(chain, [None, None]) == signature_of(chain, [None, None])


def test_one_signature_for_other_members_with_the_same_capacities():
    of = rich_graph()
    capacities = [[6] * len(link.functions) for link in of.edges]
    first, second = (population(of, pick(structures(of), 5, seed), capacities=capacities) for seed in (0, 1))
    assert first.signature == second.signature
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(
            [t.numpy() for index in first.indices.edges for t in index],
            [t.numpy() for index in second.indices.edges for t in index],
            strict=True,
        )
    )


def test_candidates_keep_their_restart():
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    assert population(of, structures(of) * 2, [3, 5]).members[1] == Candidate(structures(of)[0], 5)
