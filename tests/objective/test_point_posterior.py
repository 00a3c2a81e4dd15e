"""A point in place of q(w): its bound is log p(y, w | h), from scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
    MemberWeights,
    by_weight,
    chosen_by,
    edge,
    fn,
    graph,
    group_name,
    keys_of,
    make_bound,
    noise_of,
    normal,
    perturbed,
    pick,
    population,
    rich_graph,
    slow_output,
    start,
    structures,
)
from scipy.stats import norm

from structflow.objective.bound import BoundInputs

RICH = rich_graph()
X, Y = normal(6, 3, seed=1), normal(6, 1, seed=2)
C_TEMP = torch.tensor(0.7, dtype=DOUBLE)
POINT = {"weights": {"type": "point"}}


def both(bound, parameters, seed: int = 0, samples: int = 1):
    noise = noise_of(bound, keys_of(bound.population, seed), samples)
    given = (noise, X, Y, C_TEMP, bound.population.indices)
    return bound.terms(
        bound.of_labels(parameters), BoundInputs(*given, torch.ones((), dtype=DOUBLE))
    ), bound.sample_terms(bound.of_labels(parameters), BoundInputs(*given))


@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter", 2.5])
def test_the_bound_is_the_log_joint_density(precision):
    """Six networks with hidden units, tied weights and skip edges: Σ log N(y; f, σ) + Σ log N(w; 0, 1/√A)."""
    members = population(RICH, pick(structures(RICH), 6, 4))
    bound = make_bound(members, prior={"weights": {"precision": precision}}, posterior=POINT)
    parameters = perturbed(start(bound))
    averaged, by_sample = both(bound, parameters)
    weights = [
        {name: value.unsqueeze(1) for name, value in by_weight(members, parameters, "mean", group.name).items()}
        for group in members.layout.groups
    ]
    for member, candidate in enumerate(members.members):
        names = chosen_by(RICH, candidate.structure)
        used = {group_name(link, f) for link in RICH.edges for f in link.functions if f.name in names[link.key]}
        prior = 0.0
        for group, index in zip(members.layout.groups, members.groups, strict=True):
            slot = int(index.positions[member])
            for name in group.shapes if group.name in used else ():
                key = {"shared": "log_precision", "per_function": f"log_precision/{group.name}"}.get(
                    precision, f"log_precision/{group.name}/{name}"
                )
                log_a = np.log(2.5) if precision == 2.5 else parameters[key][member if precision == "shared" else slot]
                value = by_weight(members, parameters, "mean", group.name)[name][slot]
                prior += norm(0, np.exp(-0.5 * np.asarray(log_a))).logpdf(value.numpy()).sum()
        f = slow_output(RICH, members.layout.node_shapes, names, MemberWeights(members, weights, member, 0), {}, X)
        sd = float(parameters["likelihood/log_noise"][member, 0].exp())
        likelihood = norm(f.numpy(), sd).logpdf(Y.numpy()).sum()
        assert float(averaged.log_likelihood[member]) == pytest.approx(likelihood, rel=1e-10)
        assert float(averaged.kl_weights[member]) == pytest.approx(-prior, rel=1e-10)
        assert float(averaged.bound[member]) == pytest.approx(likelihood + prior, rel=1e-10)
    assert by_sample.bound.shape == (6, 1)
    torch.testing.assert_close(by_sample.bound[:, 0], averaged.bound, rtol=1e-12, atol=1e-12)


def test_nothing_is_random():
    """No numbers are drawn for a discrete structure, and there is no spread among the parameters."""
    chosen = pick(structures(RICH), 3, 4)
    bound = make_bound(population(RICH, chosen), posterior=POINT)
    assert bound.is_exact
    assert bound.normals.fields == bound.uniforms.fields == ()
    parameters = perturbed(start(bound))
    assert not any(name.startswith(("log_sd", "cholesky")) for name in parameters)
    one, other = (both(bound, parameters, seed, samples)[0].bound for seed, samples in ((0, 1), (5, 4)))
    assert torch.equal(one, other)


def test_only_the_structure_is_random_where_it_is_relaxed():
    bound = make_bound(population(RICH, [None]), posterior=POINT)
    assert bound.normals.fields == ()
    assert {field.name for field in bound.uniforms.fields} == {"structure/x->h", "structure/h->k", "structure/k->y",
                                                               "structure/h->y"}  # fmt: skip


@pytest.mark.parametrize("integrate", [True, False])
def test_a_point_is_where_a_narrow_normal_goes(integrate):
    """E_q log p(y) of a linear model at α → 0 is that of the point, and so is the starting mean."""
    of = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    members = population(of, structures(of))
    point = make_bound(members, posterior=POINT, integrate=integrate)
    spread = make_bound(members, integrate=integrate)
    parameters = start(spread)
    for name, value in start(point).items():
        assert torch.equal(parameters[name], value)
    narrow = {name: value - 40 if name.startswith("log_sd") else value for name, value in parameters.items()}
    expected = both(spread, narrow)[0].log_likelihood
    torch.testing.assert_close(both(point, start(point))[0].log_likelihood, expected, rtol=1e-12, atol=0)
    means, variances = point.weights.moments(point.of_labels(start(point)))
    assert torch.equal(means[0], parameters["mean/x->y/linear"])
    assert not any(value.any() for value in variances)
