"""The bound where its value is known, and its averages over samples and minibatches."""

from __future__ import annotations

import math

import pytest
import torch
from handmade import (
    DOUBLE,
    by_weight,
    edge,
    fn,
    graph,
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
from torch.distributions import MultivariateNormal

from structflow.errors import CallError
from structflow.objective.bound import BoundInputs
from structflow.plugins import BasisFunction, BasisOptions
from structflow.spec.graph import GraphFunction

C_TEMP = torch.tensor(0.7, dtype=DOUBLE)
ONE = torch.ones((), dtype=DOUBLE)


def linear_gaussian(cross: bool):
    """A bound of f = b + w·(x, x²) + c with full covariance, set to the exact posterior of two members.

    Member m has its own precision A and noise σ: Σ = (A + ΦᵀΦ/σ²)⁻¹, μ = Σ Φᵀy/σ², and log evidence
    log N(y; 0, Φ A⁻¹ Φᵀ + σ² I).
    """
    of = graph(
        {"x": (2,), "y": (1,)},
        edge("x", "y", "all", fn("polynomial", degree=2), *((fn("constant"),) if cross else ())),
    )
    bound = make_bound(
        population(of, structures(of) * 2, [0, 1]),
        prior={"weights": {"precision": "per_function"}},
        posterior={"weights": {"covariance": "full"}},
    )
    parameters = perturbed(start(bound), seed=3)
    x, y = normal(9, 2, seed=1), normal(9, 1, seed=2)
    features = torch.stack([x, x**2], -1).flatten(1)
    evidence = []
    for member in range(2):
        columns, precision = [], []
        for group in bound.population.layout.groups:
            A = parameters[f"log_precision/{group.name}"][member].exp()
            parts = {"weight": features, "bias": torch.ones(9, 1, dtype=DOUBLE)}
            for name in group.shapes:
                columns.append(parts[name])
                precision += [A] * parts[name].shape[1]
        phi, A = torch.cat(columns, 1), torch.stack(precision)
        sigma = parameters["likelihood/log_noise"][member, 0].exp()
        covariance = torch.linalg.inv(A.diag() + phi.T @ phi / sigma**2)
        L = torch.linalg.cholesky(covariance)
        parameters["mean"][member] = covariance @ phi.T @ y[:, 0] / sigma**2
        parameters["cholesky"][member] = L.tril(-1) + L.diagonal().log().diag()
        prior = phi / A @ phi.T + sigma**2 * torch.eye(9, dtype=DOUBLE)
        evidence.append(MultivariateNormal(torch.zeros(9, dtype=DOUBLE), prior).log_prob(y[:, 0]))
    return bound, parameters, x, y, torch.stack(evidence)


@pytest.mark.parametrize("cross", [False, True])
def test_the_bound_at_the_exact_posterior_is_the_evidence(cross):
    bound, parameters, x, y, evidence = linear_gaussian(cross)
    assert bound.is_exact
    noise = noise_of(bound, keys_of(bound.population), 1)
    terms = bound.terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices, ONE))
    torch.testing.assert_close(terms.bound, evidence, rtol=0, atol=1e-8)
    by_sample = bound.sample_terms(
        bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices)
    )
    torch.testing.assert_close(by_sample.bound, evidence.unsqueeze(1), rtol=0, atol=1e-8)


def test_every_sample_at_the_exact_posterior_is_the_evidence():
    """log p(y, w) − log q(w) is log p(y) for every w: the sampled integrand has no variance."""
    bound, parameters, x, y, evidence = linear_gaussian(True)
    sampled = make_bound(
        bound.population,
        prior={"weights": {"precision": "per_function"}},
        posterior={"weights": {"covariance": "full"}},
        integrate=False,
    )
    assert not sampled.is_exact
    noise = noise_of(sampled, keys_of(bound.population), 20)
    terms = sampled.sample_terms(
        sampled.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices)
    )
    assert terms.bound.shape == (2, 20)
    torch.testing.assert_close(terms.bound, evidence.unsqueeze(1).expand(2, 20), rtol=0, atol=1e-8)


def test_the_bound_is_below_the_evidence_elsewhere():
    bound, parameters, x, y, evidence = linear_gaussian(True)
    parameters["mean"] = parameters["mean"] + 0.1
    noise = noise_of(bound, keys_of(bound.population), 1)
    terms = bound.terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices, ONE))
    assert (terms.bound < evidence - 1e-6).all()


def test_diagonal_posterior_of_one_weight_is_exact():
    """y_i = w x_i + noise of 0.5, w ~ N(0, 1/3): one weight, so the diagonal family holds the posterior."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
    bound = make_bound(
        population(of, structures(of)), likelihood_options={"noise": 0.5}, prior={"weights": {"precision": 3.0}}
    )
    x, y = normal(7, 1, seed=1), normal(7, 1, seed=2)
    precision = 3 + float(x.square().sum()) / 0.25
    parameters = {
        "mean/x->y/linear": (x * y).sum().reshape(1, 1) / 0.25 / precision,
        "log_sd/x->y/linear": torch.full((1, 1), -0.5 * math.log(precision), dtype=DOUBLE),
    }
    assert set(start(bound)) == set(parameters)
    noise = noise_of(bound, keys_of(bound.population), 1)
    terms = bound.terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices, ONE))
    covariance = x @ x.T / 3 + 0.25 * torch.eye(7, dtype=DOUBLE)
    evidence = MultivariateNormal(torch.zeros(7, dtype=DOUBLE), covariance).log_prob(y[:, 0])
    torch.testing.assert_close(terms.bound, evidence.reshape(1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("relaxed", [False, True])
def test_samples_average_to_the_closed_form(relaxed):
    """The KL of the weights in closed form against the mean of log q − log p, within 5 standard errors."""
    of = rich_graph()
    members = population(of, [None] * 2 if relaxed else pick(structures(of), 6, 3), list(range(2 if relaxed else 6)))
    bound = make_bound(members)
    parameters = perturbed(start(bound))
    x, y, samples = normal(4, 3, seed=1), normal(4, 1, seed=2), 20_000
    arguments = (x, y, C_TEMP, members.indices)
    noise = noise_of(bound, keys_of(members), samples)
    by_sample = bound.sample_terms(bound.of_labels(parameters), BoundInputs(noise, *arguments))
    averaged = bound.terms(bound.of_labels(parameters), BoundInputs(noise, *arguments, ONE))
    kl = by_sample.kl_weights
    error = kl.std(1) / kl.shape[1] ** 0.5
    assert (error > 0).all()
    assert ((kl.mean(1) - averaged.kl_weights).abs() < 5 * error).all()
    torch.testing.assert_close(by_sample.log_likelihood.mean(1), averaged.log_likelihood)
    torch.testing.assert_close(by_sample.kl_structure.mean(1), averaged.kl_structure)
    assert (by_sample.bound.std(1) > 0).all()


def test_integrated_weights_have_the_expectation_of_sampled_ones():
    """The last layer integrated or sampled: the same expected log likelihood within 5 standard errors."""
    of = graph(
        {"x": (3,), "h": (4,), "y": (2,)},
        edge("x", "h", "all", fn("dense")),
        edge("h", "y", "all", fn("linear")),
        edge("x", "y", "all", fn("polynomial", degree=2)),
    )
    members = population(of, structures(of) * 2, [0, 1])
    for likelihood, y in (("gaussian", normal(5, 2, seed=2)), ("poisson", torch.tensor([[0.0, 2.0]] * 5).double())):
        integrated = make_bound(members, likelihood)
        sampled = make_bound(members, likelihood, integrate=False)
        parameters, arguments = perturbed(start(integrated)), (normal(5, 3, seed=1), y, C_TEMP, members.indices)
        keys, samples = keys_of(members), 20_000
        values = [
            bound.sample_terms(
                bound.of_labels(parameters), BoundInputs(noise_of(bound, keys, samples, step), *arguments)
            ).log_likelihood
            for step, bound in enumerate((integrated, sampled))
        ]
        difference = values[0].mean(1) - values[1].mean(1)
        error = (values[0].var(1) / samples + values[1].var(1) / samples).sqrt()
        assert (values[0].var(1) < values[1].var(1)).all()
        assert (difference.abs() < 5 * error).all()


def test_minibatches_are_unbiased():
    """Over a partition of 12 rows into 3 batches with factor 12/4 the mean is the term of all rows; the KL is whole."""
    of = rich_graph()
    bound = make_bound(population(of, pick(structures(of), 5, 2)))
    parameters = perturbed(start(bound))
    noise = noise_of(bound, keys_of(bound.population), 2)
    x, y, indices = normal(12, 3, seed=1), normal(12, 1, seed=2), bound.population.indices
    whole = bound.terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, indices, ONE))
    parts = [
        bound.terms(bound.of_labels(parameters), BoundInputs(noise, x[batch], y[batch], C_TEMP, indices, 3 * ONE))
        for batch in (slice(0, 4), slice(4, 8), slice(8, 12))
    ]
    mean = torch.stack([part.log_likelihood for part in parts]).mean(0)
    torch.testing.assert_close(mean, whole.log_likelihood, rtol=1e-12, atol=1e-12)
    for part in parts:
        assert torch.equal(part.kl_weights, whole.kl_weights)
        assert torch.equal(part.kl_structure, whole.kl_structure)


def batches():
    of = rich_graph()
    chosen = pick(structures(of), 5, 2)
    yield population(of, chosen)
    yield population(of, chosen, capacities=[[7] * len(link.functions) for link in of.edges])
    yield population(of, [None] * 2, [0, 1], scale_by_structure=True)


def objective(bound, parameters, member=None):
    x, y = normal(5, 3, seed=1), normal(5, 1, seed=2)
    noise = noise_of(bound, keys_of(bound.population), 2)
    values = bound.terms(
        bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, bound.population.indices, 1.5 * ONE)
    ).bound
    return values.sum() if member is None else values[member]


@pytest.mark.parametrize("members", list(batches()))
def test_the_gradient_of_the_sum_is_every_members_own(members):
    """Nothing of one member's bound depends on another's parameters: the gradients of members have disjoint support."""
    bound = make_bound(members, prior={"weights": {"precision": "shared"}, "structure": {"learned": True}})
    leaves = {name: value.requires_grad_() for name, value in perturbed(start(bound)).items()}
    together = torch.autograd.grad(objective(bound, leaves), list(leaves.values()))
    support = [torch.zeros_like(value, dtype=torch.int64) for value in together]
    total = [torch.zeros_like(value) for value in together]
    for member in range(members.size):
        own = torch.autograd.grad(objective(bound, leaves, member), list(leaves.values()), allow_unused=True)
        for place, gradient in enumerate(own):
            if gradient is not None:
                support[place] += gradient.reshape(len(gradient), -1).any(1).reshape(-1, *(1,) * (gradient.ndim - 1))
                total[place] += gradient
    assert all(int(count.max()) <= 1 for count in support)
    for found, expected in zip(together, total, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("relaxed", [False, True])
def test_gradients_are_finite_differences(covariance, relaxed):
    """Central differences with step 1e-5 along a random direction in all parameters: error of order 1e-10."""
    of = graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", fn("dense"), fn("linear")),
        edge("h", "y", "any", fn("linear"), fn("dense", activation="sin")),
    )
    members = population(of, [None] * 2 if relaxed else [structures(of)[3]] * 2, [0, 1])
    bound = make_bound(
        members,
        prior={"weights": {"precision": "per_parameter"}, "structure": {"learned": True}},
        posterior={"weights": {"covariance": covariance}},
    )
    parameters = perturbed(start(bound))
    direction = {name: normal(*value.shape, seed=70 + n) for n, (name, value) in enumerate(parameters.items())}
    gradients = torch.func.grad(lambda values: objective(bound, values))(parameters)
    slope = sum((gradients[name] * direction[name]).sum() for name in parameters)
    step = 1e-5
    ends = [
        objective(bound, {name: value + sign * step * direction[name] for name, value in parameters.items()})
        for sign in (1, -1)
    ]
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-6)


def test_no_member_is_touched_by_a_spare_slot_that_is_not_finite():
    """Spare slots of every function get NaN weights: value and gradients of live members stay as they were."""
    of = rich_graph()
    chosen = pick(structures(of), 5, 2)
    roomy = population(of, chosen, capacities=[[7] * len(link.functions) for link in of.edges])
    bound = make_bound(roomy)
    parameters = perturbed(start(bound))
    poisoned = dict(parameters)
    for name, value in parameters.items():
        group = bound.by_label[name].group
        if group is not None:
            used = torch.zeros(len(value), dtype=torch.bool)
            positions = torch.from_numpy(roomy.groups[group].positions)
            used[positions[positions < len(value)]] = True
            poisoned[name] = torch.where(used.reshape(-1, *(1,) * (value.ndim - 1)), value, float("nan"))
    assert any(value.isnan().any() for value in poisoned.values())
    expected, found = (torch.func.grad_and_value(lambda v: objective(bound, v))(p) for p in (parameters, poisoned))
    assert found[1] == expected[1]
    for name, gradient in expected[0].items():
        live = ~poisoned[name].isnan()
        assert torch.equal(found[0][name][live], gradient[live]), name


def test_weights_tied_in_the_spec_do_not_depend_on_who_else_is_in_the_batch():
    """A member that uses one of two functions with shared weights: alone or beside a user of the other.

    The first function in the spec starts the weights at 0, the second would not; linear ones are sampled both ways.
    """
    of = graph(
        {"x": (3,), "y": (1,)},
        edge("x", "y", "one", fn("polynomial", degree=1, share="W"), fn("linear", share="W")),
    )
    first, second = structures(of)
    alone, together = make_bound(population(of, [second])), make_bound(population(of, [first, second]))
    assert alone.weights.integrated == together.weights.integrated == (False,)
    for name, value in start(alone).items():
        assert torch.equal(value[0], start(together)[name][1]), name
    assert not by_weight(alone.population, start(alone), "mean", "share/W")["weight"].any()
    x, y = normal(4, 3, seed=1), normal(4, 1, seed=2)
    values = []
    for bound in (alone, together):
        noise = noise_of(bound, keys_of(bound.population), 3)
        terms = bound.terms(
            bound.of_labels(start(bound)), BoundInputs(noise, x, y, C_TEMP, bound.population.indices, ONE)
        )
        values.append(terms.bound[-1])
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)


def test_a_full_covariance_over_different_structures_is_refused():
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "one", fn("linear"), fn("constant")))
    with pytest.raises(CallError, match="different functions"):
        make_bound(population(of, structures(of)), posterior={"weights": {"covariance": "full"}})


def test_what_is_compiled_is_named_by_all_that_changes_it():
    """Bounds that compute something else have another signature; another likelihood scale is baked into the program."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("linear")))
    members = population(of, structures(of))
    bounds = [
        make_bound(members),
        make_bound(members, likelihood_options={"noise": 0.3}),
        make_bound(members, likelihood_options={"noise": 0.3}, target_scale=[2.0]),
        make_bound(members, prior={"weights": {"precision": 2.0}}),
        make_bound(members, prior={"weights": {"precision": 3.0}}),
        make_bound(members, posterior={"weights": {"covariance": "full"}}),
        make_bound(members, "poisson"),
        make_bound(members, integrate=False),
    ]
    assert len({bound.signature for bound in bounds}) == len(bounds)


def test_scalar_weights_of_a_plugin():
    """A weight of shape () is one number a member, under a diagonal and a full covariance."""

    class Gain(BasisFunction):
        """g(x; a) = a x."""

        type = "gain"

        @classmethod
        def weight_shapes(cls, options, in_shape, out_shape):
            return {"gain": ()}

        def forward(self, weights, x):
            return weights["gain"] * x

    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", GraphFunction("gain", Gain, BasisOptions())))
    members = population(of, structures(of) * 3, [0, 1, 2])
    x, y = normal(4, 1, seed=1), normal(4, 1, seed=2)
    for covariance in ("diagonal", "full"):
        bound = make_bound(members, posterior={"weights": {"covariance": covariance}})
        parameters = start(bound)
        noise = noise_of(bound, keys_of(members), 2)
        terms = bound.sample_terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, members.indices))
        assert terms.bound.shape == (3, 2)
        assert terms.bound.isfinite().all()
        # q = N(0, 0.01), p = N(0, 1): ½ (0.01 − 1 − ln 0.01)
        averaged = bound.terms(bound.of_labels(parameters), BoundInputs(noise, x, y, C_TEMP, members.indices, ONE))
        torch.testing.assert_close(averaged.kl_weights, torch.full((3,), 0.5 * (-0.99 - math.log(0.01))).double())
