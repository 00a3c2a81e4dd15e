"""log p(h): the inverse gamma density of log v, v = 1/A, against scipy, summed over what a member uses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
    chosen_by,
    group_name,
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
from scipy.integrate import quad
from scipy.stats import invgamma

from structflow.objective.bound import BoundInputs
from structflow.objective.weights_prior import log_inverse_gamma
from structflow.plugins import InverseGamma

RICH = rich_graph()
X, Y = normal(6, 3, seed=1), normal(6, 1, seed=2)
SHAPE, SCALE = 1.7, 0.4


def density(log_precision: np.ndarray) -> float:
    """Σ log p(log v) = Σ [log p(v) + log v]: dv / d log v = v."""
    v = np.exp(-np.asarray(log_precision))
    return float(np.sum(invgamma(a=SHAPE, scale=SCALE).logpdf(v) + np.log(v)))


@pytest.mark.parametrize(("shape", "scale"), [(0.5, 0.1), (1.0, 3.0), (6.0, 2.0)])
def test_the_density_of_log_v(shape, scale):
    """At log A from −3 to 4; it integrates to 1 over log v."""
    hyperprior = InverseGamma(shape=shape, scale=scale)
    log_a = torch.linspace(-3, 4, 15, dtype=DOUBLE)
    v = np.exp(-log_a.numpy())
    expected = invgamma(a=shape, scale=scale).logpdf(v) + np.log(v)
    np.testing.assert_allclose(log_inverse_gamma(log_a, hyperprior).numpy(), expected, rtol=1e-12)

    def at(log_v: float) -> float:
        return math.exp(float(log_inverse_gamma(torch.tensor(-log_v, dtype=DOUBLE), hyperprior)))

    assert quad(at, -15, 60, limit=500, points=[0.0])[0] == pytest.approx(1, abs=1e-6)


def log_hyperprior(bound, parameters):
    noise = noise_of(bound, keys_of(bound.population), 2)
    given = (noise, X, Y, torch.tensor(0.7, dtype=DOUBLE), bound.population.indices)
    averaged = bound.terms(
        bound.of_labels(parameters), BoundInputs(*given, torch.ones((), dtype=DOUBLE))
    ).log_hyperprior
    by_sample = bound.sample_terms(bound.of_labels(parameters), BoundInputs(*given)).log_hyperprior
    torch.testing.assert_close(by_sample, averaged.unsqueeze(1).expand_as(by_sample), rtol=0, atol=0)
    return averaged


def with_hyperprior(members, grouping, **keys):
    weights = {"precision": grouping, "hyperprior": {"shape": SHAPE, "scale": SCALE}, **keys}
    return make_bound(members, prior={"weights": weights})


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("roomy", [False, True])
@pytest.mark.parametrize("grouping", ["shared", "per_function", "per_parameter"])
def test_it_is_summed_over_the_precisions_a_member_has(grouping, relaxed, roomy):
    """One precision, one a function (tied functions have one together), or one a weight; spare slots count nothing."""
    chosen = [None] * 3 if relaxed else pick(structures(RICH), 6, 1)
    room = {"capacities": [[8] * len(link.functions) for link in RICH.edges]} if roomy and not relaxed else {}
    members = population(RICH, chosen, list(range(len(chosen))), **room)
    bound = with_hyperprior(members, grouping)
    parameters = perturbed(start(bound))
    found = log_hyperprior(bound, parameters)
    for member, candidate in enumerate(members.members):
        names = chosen_by(RICH, candidate.structure)
        used = {group_name(link, f) for link in RICH.edges for f in link.functions if f.name in names[link.key]}
        values = [parameters["log_precision"][member].reshape(1)] if grouping == "shared" else []
        for group, index in zip(members.layout.groups, members.groups, strict=True):
            if grouping == "shared" or group.name not in used:
                continue
            suffixes = [""] if grouping == "per_function" else [f"/{name}" for name in group.shapes]
            slot = int(index.positions[member])
            values += [parameters[f"log_precision/{group.name}{suffix}"][slot].reshape(-1) for suffix in suffixes]
        assert float(found[member]) == pytest.approx(density(torch.cat(values).numpy()), rel=1e-12)


def test_nothing_is_added_without_one():
    members = population(RICH, pick(structures(RICH), 2, 1))
    assert log_hyperprior(make_bound(members), start(make_bound(members))).tolist() == [0.0, 0.0]
    fixed = with_hyperprior(members, 2.0)  # the loader refuses it; there is no h whose density it would be
    assert log_hyperprior(fixed, start(fixed)).tolist() == [0.0, 0.0]
    learned = with_hyperprior(members, 2.0, learned=True)
    assert log_hyperprior(learned, start(learned)).tolist() == pytest.approx([density([math.log(2)])] * 2)
