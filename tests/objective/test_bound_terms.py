"""The bound against a slow reference: loops over members and samples, torch.distributions, nothing in closed form.

What the bound integrates (weights that enter f linearly before a Gaussian or Poisson likelihood) the reference
integrates by the Jacobian of f, so that both use the same random numbers for the rest.
"""

from __future__ import annotations

import math

import pytest
import torch
from handmade import (
    DOUBLE,
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
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
    RelaxedOneHotCategorical,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import AffineTransform, SigmoidTransform
from torch.func import jacrev

from structflow.objective.bound import Bound, BoundInputs, Terms

ROWS, SAMPLES, C_TEMP = 6, 3, torch.tensor(0.7, dtype=DOUBLE)
RICH = rich_graph()
X = normal(ROWS, 3, seed=21)
TARGETS = {
    "gaussian": normal(ROWS, 1, seed=22),
    "bernoulli": (normal(ROWS, 1, seed=23) > 0).double(),
    "poisson": torch.tensor([[0.0], [1], [2], [0], [5], [3]], dtype=DOUBLE),
    "categorical": torch.tensor([[0], [1], [2], [1], [1], [0]]),
}
TEMPERATURE = 0.9


def evaluate(bound: Bound, parameters, samples: int = SAMPLES, likelihood: str = "gaussian") -> tuple[Terms, Terms]:
    """The terms averaged, and sample by sample, from the same noise."""
    noise = noise_of(bound, keys_of(bound.population), samples)
    indices, y = bound.population.indices, TARGETS[likelihood]
    one = torch.ones((), dtype=DOUBLE)
    averaged = bound.terms(bound.of_labels(parameters), BoundInputs(noise, X, y, C_TEMP, indices, one))
    return averaged, bound.sample_terms(bound.of_labels(parameters), BoundInputs(noise, X, y, C_TEMP, indices))


def precision_of(bound: Bound, parameters, member: int, group: int, name: str, shape) -> Tensor:
    """A for one weight of one member, from the parameters by their documented names."""
    owner, index = bound.population.layout.groups[group], bound.population.groups[group]
    slot = int(index.positions[member])
    prior = bound.prior
    if not prior.learned:
        return torch.full(shape, prior.options.start, dtype=DOUBLE)
    if prior.options.grouping == "shared":
        return parameters["log_precision"][member].exp().expand(shape)
    if prior.options.grouping == "per_function":
        return parameters[f"log_precision/{owner.name}"][slot].exp().expand(shape)
    return parameters[f"log_precision/{owner.name}/{name}"][slot].exp()


def log_likelihood(bound: Bound, parameters, member: int, kind: str, y: Tensor, f: Tensor, variance: Tensor) -> Tensor:
    """Expectation for f ~ N(f, variance); only the Gaussian and the Poisson are asked with a variance above 0."""
    if kind == "gaussian":
        if "likelihood/log_noise" in parameters:
            sd = parameters["likelihood/log_noise"][member].exp()
        else:
            sd = torch.tensor(bound.likelihood.options.noise / bound.likelihood.target_scale)
        return (Normal(f, sd).log_prob(y) - variance / (2 * sd**2)).sum()
    if kind == "poisson":  # E e^f = e^(mean + variance/2) instead of e^mean
        return (Poisson(f.exp()).log_prob(y) + f.exp() - (f + variance / 2).exp()).sum()
    assert not variance.any()
    if kind == "bernoulli":
        return Bernoulli(logits=f).log_prob(y).sum()
    return Categorical(logits=f).log_prob(y[:, 0]).sum()


def structure_sample(bound: Bound, parameters, member: int, uniform: dict[str, Tensor]) -> tuple[dict, Tensor]:
    """γ of one member and sample, and log q − log p."""
    gamma, ratio = {}, torch.zeros((), dtype=DOUBLE)
    if not bound.population.is_relaxed:
        return gamma, ratio
    learned = bound.structure.temperature == "learned"
    q_temp = parameters["structure_temperature"][member].exp() if learned else torch.tensor(TEMPERATURE, dtype=DOUBLE)
    for number in bound.population.choice_edges:
        link = bound.population.layout.graph.edges[number]
        u, log_s = uniform[f"structure/{link.key}"], parameters[f"structure/{link.key}"][member]
        prior_log_s = torch.zeros(len(link.functions), dtype=DOUBLE)
        if f"prior_structure/{link.key}" in parameters:
            prior_log_s = parameters[f"prior_structure/{link.key}"][member]
        elif link.space == "any":
            prior_log_s = prior_log_s + math.log(bound.structure.options.concentration)
        if link.space == "one":
            value = ((log_s - (-(1 - u).log()).log()) / q_temp).softmax(-1)
            q, p = (RelaxedOneHotCategorical(t, logits=s) for t, s in ((q_temp, log_s), (C_TEMP, prior_log_s)))
            ratio = ratio + q.log_prob(value) - p.log_prob(value)
        else:
            logit = (log_s + u.log() - (1 - u).log()) / q_temp
            value = logit.sigmoid()
            unit = TransformedDistribution(
                torch.distributions.Uniform(torch.zeros_like(u), torch.ones_like(u)), [SigmoidTransform().inv]
            )
            densities = [
                TransformedDistribution(unit, [AffineTransform(s / t, 1 / t)]).log_prob(logit).sum()
                for t, s in ((q_temp, log_s), (C_TEMP, prior_log_s))
            ]
            ratio = ratio + densities[0] - densities[1]
        gamma[link.key] = value
    return gamma, ratio


def reference(bound: Bound, parameters, samples: int, likelihood: str) -> dict[str, Tensor]:
    """(M, S) of every term, the KL of the weights in closed form (M,) and as log ratio (M, S)."""
    members, layout = bound.population, bound.population.layout
    noise = noise_of(bound, keys_of(members), samples)
    uniforms, normals = bound.uniforms.unpack(noise.uniforms), bound.normals.unpack(noise.normals)
    rows = {name: torch.zeros(members.size, samples, dtype=DOUBLE) for name in ("ll", "ratio", "structure")}
    rows["kl"] = torch.zeros(members.size, dtype=DOUBLE)
    full = "cholesky" in parameters
    for member, candidate in enumerate(members.members):
        chosen = chosen_by(layout.graph, candidate.structure)
        wanted = {
            group_name(link, function)
            for link in layout.graph.edges
            for function in link.functions
            if function.name in chosen[link.key]
        }
        used = [g for g, group in enumerate(layout.groups) if group.name in wanted]
        for sample in range(samples):
            gamma, ratio = structure_sample(
                bound, parameters, member, {name: value[member, sample] for name, value in uniforms.items()}
            )
            rows["structure"][member, sample] = ratio
            weights = [dict.fromkeys(group.shapes) for group in layout.groups]
            spread = {}
            begin = 0
            if full:
                raw = parameters["cholesky"][member]
                L = raw.tril(-1) + raw.diagonal().exp().diag()
                mean = parameters["mean"][member]
                q = MultivariateNormal(mean, scale_tril=L)
                everything = all(bound.weights.integrated)
                w = mean if everything else mean + L @ normals["weights"][member, sample]
                A = torch.cat([
                    precision_of(bound, parameters, member, g, name, shape).flatten()
                    for g, group in enumerate(layout.groups) for name, shape in group.shapes.items()
                ])  # fmt: skip
                p = MultivariateNormal(torch.zeros_like(mean), covariance_matrix=A.reciprocal().diag())
                kl = kl_divergence(q, p)
                rows["kl"][member] = kl
                rows["ratio"][member, sample] = kl if everything else q.log_prob(w) - p.log_prob(w)
            for g in used:
                group, slot = layout.groups[g], int(members.groups[g].positions[member])
                own = 0
                for name, shape in group.shapes.items():
                    size = math.prod(shape)
                    if full:
                        weights[g][name] = w[begin : begin + size].reshape(1, 1, *shape)
                        begin += size
                        continue
                    mean = by_weight(members, parameters, "mean", group.name)[name][slot]
                    sd = by_weight(members, parameters, "log_sd", group.name)[name][slot].exp()
                    A = precision_of(bound, parameters, member, g, name, shape)
                    q = Independent(Normal(mean, sd), len(shape))
                    p = Independent(Normal(torch.zeros_like(mean), A.rsqrt()), len(shape))
                    kl = kl_divergence(q, p)
                    if sample == 0:
                        rows["kl"][member] += kl
                    if bound.weights.integrated[g]:
                        weights[g][name], spread[g, name] = mean.expand(1, 1, *shape), sd.square()
                        rows["ratio"][member, sample] += kl
                        continue
                    epsilon = normals[f"weights/{group.name}"][slot, sample, own : own + size].reshape(shape)
                    own += size
                    weights[g][name] = (mean + sd * epsilon).expand(1, 1, *shape)
                    rows["ratio"][member, sample] += q.log_prob(mean + sd * epsilon) - p.log_prob(mean + sd * epsilon)

            def f(values, gamma=gamma, chosen=chosen):
                def look_up(link, function, values=values):
                    for group, own in zip(layout.groups, values, strict=True):
                        if group.name == group_name(link, function):  # noqa: B023 (its own arguments)
                            return {name: value[0, 0] for name, value in own.items()}
                    return {}

                scaled = members.network.scale_by_structure
                return slow_output(layout.graph, layout.node_shapes, chosen, look_up, gamma, X, scaled)

            present = [group if g in used else {} for g, group in enumerate(weights)]
            output, variance = f(present), torch.zeros(ROWS, *bound.out_shape, dtype=DOUBLE)
            if spread or (full and all(bound.weights.integrated)):
                jacobian = jacrev(f)(present)
                axes = 1 + len(bound.out_shape)
                if full:
                    columns = [value.flatten(axes) for own in jacobian for value in own.values()]
                    variance = (torch.cat(columns, -1) @ L).square().sum(-1)
                for (g, name), value in spread.items():
                    variance = variance + jacobian[g][name].flatten(axes).square() @ value.flatten()
            y = TARGETS[likelihood]
            rows["ll"][member, sample] = log_likelihood(bound, parameters, member, likelihood, y, output, variance)
    return rows


def check(bound: Bound, likelihood: str = "gaussian", samples: int = SAMPLES, seed: int = 0) -> None:
    parameters = perturbed(start(bound), seed)
    averaged, by_sample = evaluate(bound, parameters, samples, likelihood)
    expected = reference(bound, parameters, samples, likelihood)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(averaged.log_likelihood, expected["ll"].mean(1), **close)
    torch.testing.assert_close(averaged.kl_weights, expected["kl"], **close)
    torch.testing.assert_close(averaged.kl_structure, expected["structure"].mean(1), **close)
    shape = expected["ll"].shape
    torch.testing.assert_close(by_sample.log_likelihood.expand(shape), expected["ll"], **close)
    torch.testing.assert_close(by_sample.kl_weights.expand(shape), expected["ratio"], **close)
    torch.testing.assert_close(by_sample.kl_structure.expand(shape), expected["structure"], **close)
    total = expected["ll"] - expected["ratio"] - expected["structure"]
    torch.testing.assert_close(by_sample.bound.expand(shape), total, **close)


PRECISIONS = [
    {"precision": "shared"},
    {"precision": "per_function"},
    {"precision": "per_parameter"},
    {"precision": 2.5},
    {"precision": 2.5, "learned": True},
]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_discrete_structures(precision):
    """Shared, integrated and sampled weights of a random batch; two spare slots a function."""
    members = pick(structures(RICH), 8, 1)
    check(make_bound(population(RICH, members), prior={"weights": precision}))
    roomy = population(RICH, members, capacities=[[10] * len(link.functions) for link in RICH.edges])
    check(make_bound(roomy, prior={"weights": precision}))


@pytest.mark.parametrize("options", [{"noise": "learned"}, {"noise": 0.3}])
def test_gaussian_noise(options):
    """A fixed σ of 0.3 in the target's units is 0.3/2 after the target was divided by 2."""
    members = population(RICH, pick(structures(RICH), 4, 2))
    check(make_bound(members, likelihood_options=options, target_scale=[2.0]))


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "categorical"])
@pytest.mark.parametrize("relaxed", [False, True])
def test_other_likelihoods(likelihood, relaxed):
    width = 3 if likelihood == "categorical" else 1
    of = graph(
        {"x": (3,), "h": (2,), "y": (width,)},
        edge("x", "h", "one", fn("dense"), fn("linear")),
        edge("h", "y", "any", fn("linear"), fn("dense")),
    )
    members = population(of, [None, None] if relaxed else structures(of), [0, 1] if relaxed else [0] * 8)
    check(make_bound(members, likelihood), likelihood)


STRUCTURE_PRIORS = [
    ({"concentration": 0.4}, "learned"),
    ({"learned": True}, TEMPERATURE),
    ({"learned": True, "concentration": 2.0}, "learned"),
]


@pytest.mark.parametrize(("options", "temperature"), STRUCTURE_PRIORS)
@pytest.mark.parametrize("scale", [False, True])
def test_relaxed_structures(options, temperature, scale):
    """`one` and `any` edges; q's temperature learned or fixed, the prior's concentrations learned or fixed."""
    members = population(RICH, [None] * 3, [0, 1, 2], scale_by_structure=scale)
    prior = {"structure": {"type": "gumbel_softmax", **options}}
    check(make_bound(members, prior=prior, posterior={"structure": {"temperature": temperature}}))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["integrated", "sampled"])
def test_full_covariance(kind, precision):
    last = fn("linear") if kind == "integrated" else fn("dense")
    of = graph(
        {"x": (3,), "h": (3,), "y": (1,)},
        edge("x", "h", "all", fn("elementwise", function="sin")),
        edge("h", "y", "all", last),
        edge("x", "y", "all", fn("polynomial", degree=2), fn("constant")),
    )
    members = population(of, structures(of) * 2, [0, 1])
    bound = make_bound(members, prior={"weights": precision}, posterior={"weights": {"covariance": "full"}})
    assert bound.is_exact == (kind == "integrated")
    check(bound)


def test_a_full_covariance_with_a_fixed_offset():
    """f = x + w·x + b: the part without weights shifts the mean and adds no variance."""
    of = graph({"x": (3,), "y": (3,)}, edge("x", "y", "all", fn("identity"), fn("linear")))
    bound = make_bound(population(of, structures(of)), posterior={"weights": {"covariance": "full"}})
    parameters = perturbed(start(bound))
    noise = noise_of(bound, keys_of(bound.population), 1)
    output = bound.outputs(bound.of_labels(parameters), noise, X, C_TEMP, bound.population.indices)
    mean = parameters["mean"][0]
    torch.testing.assert_close(output.mean[0, 0], X + X @ mean[:9].reshape(3, 3) + mean[9:])
    raw = parameters["cholesky"][0]
    covariance = (L := raw.tril(-1) + raw.diagonal().exp().diag()) @ L.mT
    phi = torch.cat(
        [torch.kron(X, torch.eye(3, dtype=DOUBLE)).reshape(ROWS, 3, 9), torch.eye(3).expand(ROWS, 3, 3)], -1
    )
    variance = torch.einsum("roi,ij,roj->ro", phi.double(), covariance, phi.double())
    torch.testing.assert_close(output.variance[0, 0], variance)


def test_weights_that_no_function_of_a_member_uses_cost_nothing():
    """KL 0 for the empty subset, and for a member beside others that use the shared weights."""
    of = graph(
        {"x": (3,), "y": (1,)},
        edge("x", "y", "any", fn("dense", share="W"), fn("dense", activation="sin", share="W")),
    )
    bound = make_bound(population(of, structures(of)), prior={"weights": {"precision": 3.0}})
    parameters = perturbed(start(bound))
    terms, by_sample = evaluate(bound, parameters)
    assert terms.kl_weights[0] == 0
    assert not by_sample.kl_weights[0].any()
    one, other, both = (
        (
            kl_divergence(
                Normal(parameters["mean/share/W"][m], parameters["log_sd/share/W"][m].exp()),
                Normal(torch.zeros((), dtype=DOUBLE), torch.tensor(3.0, dtype=DOUBLE).rsqrt()),
            ).sum()
        )
        for m in (1, 2, 3)
    )
    torch.testing.assert_close(terms.kl_weights[1:], torch.stack([one, other, both]))
