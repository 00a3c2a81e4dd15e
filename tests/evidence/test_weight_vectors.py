"""Weights as vectors: the network, densities and draws that they stand for, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from handmade import (
    DOUBLE,
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
from torch.distributions import MultivariateNormal, Normal

from structflow.distributions.normal import cholesky_factor
from structflow.errors import CallError
from structflow.evidence.trained import TrainedPopulation
from structflow.objective.bound import BoundInputs

RICH = rich_graph()
X, Y = normal(6, 3, seed=1), normal(6, 1, seed=2)
PLAIN = graph(
    {"x": (3,), "h": (2,), "y": (1,)}, edge("x", "h", "all", fn("dense")), edge("h", "y", "all", fn("linear"))
)


def trained_at(members, **settings) -> TrainedPopulation:
    bound = make_bound(members, **settings)
    return TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), X, Y, 0.7)


def rich(count: int = 5, **settings) -> TrainedPopulation:
    """Members of different structures, with shared weights, skips and subsets."""
    return trained_at(population(RICH, pick(structures(RICH), count, 1), list(range(count))), **settings)


def functions_in_order(member):
    """(edge, function) whose weights a member owns, in the order of the vector: once for shared weights."""
    chosen, seen, found = chosen_by(RICH, member.structure), set(), []
    for link in RICH.edges:
        for function in link.functions:
            shapes = function.plugin.weight_shapes(
                function.options, *(RICH.node_shapes()[node] for node in (link.source, link.target))
            )
            users = [
                (other, candidate)
                for other in RICH.edges
                for candidate in other.functions
                if group_name(other, candidate) == group_name(link, function)
            ]
            used = any(candidate.name in chosen[other.key] for other, candidate in users)
            if shapes and used and group_name(link, function) not in seen:
                seen.add(group_name(link, function))
                found.append((group_name(link, function), shapes))
    return found


def test_outputs_are_those_of_the_slow_network():
    """f at random vectors against the recursion written out node by node, member by member and sample by sample."""
    trained = rich()
    vectors = trained.weights
    weights = normal(*vectors.used.shape[:1], 2, vectors.used.shape[1], seed=5)
    outputs = vectors.outputs(weights)
    shapes = RICH.node_shapes()
    for number, member in enumerate(trained.bound.population.members):
        layout = functions_in_order(member)
        assert int(vectors.used[number].sum()) == sum(int(np.prod(s)) for _, g in layout for s in g.values())
        for sample in range(2):
            own, begin = {}, 0
            for name, group in layout:
                own[name] = {}
                for weight, shape in group.items():
                    length = int(np.prod(shape))
                    own[name][weight] = weights[number, sample, begin : begin + length].reshape(shape)
                    begin += length

            def look_up(link, function, own=own):
                return own.get(group_name(link, function), {})

            expected = slow_output(RICH, shapes, chosen_by(RICH, member.structure), look_up, {}, X)
            torch.testing.assert_close(outputs[number, sample], expected, rtol=1e-12, atol=1e-12)


def test_densities_are_those_of_torch():
    """log p(w) and log q(w) against torch's normal densities over the used places; log p(y | w) row by row."""
    trained = rich(prior={"weights": {"precision": 4.0}}, likelihood_options={"noise": 0.5})
    vectors = trained.weights
    weights = vectors.draws(3, "test")
    assert (weights[~vectors.used.unsqueeze(1).expand_as(weights)] == 0).all()
    for number, used in enumerate(vectors.used):
        mine = weights[number][:, used]
        prior = Normal(torch.zeros(1, dtype=DOUBLE), 0.5).log_prob(mine).sum(1)
        torch.testing.assert_close(vectors.log_prior(weights)[number], prior, rtol=1e-12, atol=1e-12)
        q = Normal(vectors.mean[number, used], vectors.variance[number, used].sqrt()).log_prob(mine).sum(1)
        torch.testing.assert_close(vectors.log_posterior(weights)[number], q, rtol=1e-12, atol=1e-12)
    rows = Normal(vectors.outputs(weights), 0.5).log_prob(Y)
    torch.testing.assert_close(vectors.log_likelihood(weights), rows.sum((2, 3)), rtol=1e-12, atol=1e-12)
    some = torch.tensor([4, 1])
    torch.testing.assert_close(
        vectors.log_likelihood(weights, some), rows[:, :, some].sum((2, 3)), rtol=1e-12, atol=1e-12
    )


def test_the_mean_of_the_bound_is_that_of_its_samples():
    """Over 20,000 draws log p(y, w) − log q(w) has the mean of the bound with all weights sampled, within 5 errors."""
    trained = rich(3)
    vectors = trained.weights
    weights = vectors.draws(20_000, "test")
    values = vectors.log_likelihood(weights) + vectors.log_prior(weights) - vectors.log_posterior(weights)
    bound = torch.cat([terms.bound for terms in trained.sample_terms(20_000, "other")], 1)
    error = (values.var(1) / 20_000 + bound.var(1) / 20_000).sqrt()
    assert ((values.mean(1) - bound.mean(1)).abs() < 5 * error).all()


@pytest.mark.parametrize("grouping", ["shared", "per_function", "per_parameter"])
def test_precisions_are_those_of_the_divergence(grouping):
    """½ Σ [A(α + μ²) − 1 − log A − log α] from the vectors is the KL that the bound takes in closed form."""
    trained = rich(prior={"weights": {"precision": grouping}})
    vectors = trained.weights
    variance = torch.where(vectors.used, vectors.variance, 1.0)
    a = vectors.log_precision
    kl = 0.5 * (a.exp() * (variance + vectors.mean.square()) - 1 - a - variance.log())
    kl = torch.where(vectors.used, kl, 0.0).sum(1)
    bound, parameters = trained.bound, trained.parameters
    noise = noise_of(bound, trained.keys, 1)
    one = torch.ones((), dtype=DOUBLE)
    expected = bound.terms(
        parameters, BoundInputs(noise, trained.x, trained.y, one, bound.population.indices, one)
    ).kl_weights
    torch.testing.assert_close(kl, expected, rtol=1e-12, atol=1e-12)


def test_a_full_covariance():
    """Σ is L Lᵀ; log q against torch's; draws have that covariance (4,000 of them, entries within 6 errors)."""
    full = {"weights": {"covariance": "full"}}
    members = population(PLAIN, structures(PLAIN) * 2, [0, 1])
    trained = trained_at(members, posterior=full)
    vectors, factor = trained.weights, cholesky_factor(trained.parameters.theta.weights[0]["cholesky"])
    assert vectors.covariance is not None
    weights = vectors.draws(4_000, "test")
    for number in range(2):
        reference = MultivariateNormal(vectors.mean[number], scale_tril=factor[number])
        torch.testing.assert_close(
            vectors.log_posterior(weights)[number], reference.log_prob(weights[number]), rtol=1e-9, atol=1e-9
        )
        covariance = vectors.covariance[number]
        spread = (covariance.diagonal().outer(covariance.diagonal()) + covariance.square()).sqrt() / 4_000**0.5
        assert ((torch.cov(weights[number].T) - covariance).abs() < 6 * spread).all()
    assert trained_at(members).weights.covariance is None


def test_a_member_alone_is_the_same():
    """Vectors, draws and starts of a member don't depend on who else is in the batch."""
    together = rich(4)
    members = together.bound.population.members
    alone = trained_at(population(RICH, [members[2].structure], [members[2].restart]))
    n = alone.weights.used.shape[1]
    assert together.weights.used[2].sum() == alone.weights.used.sum() == n
    for made in ("normals", "starts"):
        whole, single = getattr(together.weights, made)(3, "test"), getattr(alone.weights, made)(3, "test")
        torch.testing.assert_close(whole[2, :, :n], single[0], rtol=0, atol=0)
        assert not torch.equal(getattr(alone.weights, made)(3, "another"), single)


def test_starts_spread_as_those_of_training():
    """Weights of a dense layer start with variance 1 / fan_in: 1/3 for 3 inputs, 6 of them; 300 starts."""
    vectors = trained_at(population(PLAIN, structures(PLAIN))).weights
    starts = vectors.starts(300, "test")[0]
    spread = starts.std(0)
    assert ((spread - 3**-0.5).abs() < 5 * 3**-0.5 / 600**0.5).sum() == 6


def test_derivatives_by_torch_func():
    """The gradient of a linear-Gaussian log joint is Xᵀ(y − X w)/σ² − A w, also through vmap over directions."""
    linear = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    trained = trained_at(
        population(linear, structures(linear) * 2, [0, 1]),
        prior={"weights": {"precision": 2.0}},
        likelihood_options={"noise": 0.5},
    )
    vectors = trained.weights
    weights = normal(2, 1, 3, seed=7)

    def log_joint(w):
        return (vectors.log_likelihood(w) + vectors.log_prior(w)).sum()

    gradient = torch.func.grad(log_joint)(weights)
    expected = (Y - X @ weights.squeeze(1).T).T @ X / 0.25 - 2 * weights.squeeze(1)
    torch.testing.assert_close(gradient.squeeze(1), expected, rtol=1e-10, atol=1e-10)

    def product(direction):
        return torch.func.jvp(torch.func.grad(log_joint), (weights,), (direction.expand_as(weights),))[1]

    hessian = torch.func.vmap(product)(torch.eye(3, dtype=DOUBLE))[:, 0, 0]
    torch.testing.assert_close(hessian, -(X.T @ X / 0.25 + 2 * torch.eye(3, dtype=DOUBLE)), rtol=1e-10, atol=1e-10)


def test_relaxed_members_have_none():
    trained = trained_at(population(RICH, [None], [0]))
    with pytest.raises(CallError, match="relaxed members have no vector of weights"):
        trained.weights  # noqa: B018


def test_a_point_has_no_density():
    vectors = rich(2, posterior={"weights": {"type": "point"}}).weights
    with pytest.raises(CallError, match="a point, which has no density"):
        vectors.log_posterior(vectors.mean.unsqueeze(1))
