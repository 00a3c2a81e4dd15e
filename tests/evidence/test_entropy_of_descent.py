"""Entropy bounds of gradient steps and Langevin dynamics against closed forms of linear-Gaussian models."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from handmade import (
    DOUBLE,
    edge,
    fn,
    graph,
    keys_of,
    make_bound,
    normal,
    perturbed,
    pick,
    population,
    rich_graph,
    start,
    structures,
)

from structflow.builtin.evidence_estimators.curvature import LARGEST_STEP, curvature
from structflow.builtin.evidence_estimators.descent_estimate import run
from structflow.builtin.evidence_estimators.descent_options import DescentOptions
from structflow.builtin.evidence_estimators.descent_start import descent_start
from structflow.builtin.evidence_estimators.entropy_of_descent import Descent, entropy_change, with_noise
from structflow.builtin.evidence_estimators.joint_derivatives import LogJoint
from structflow.errors import CallError
from structflow.evidence.trained import TrainedPopulation
from structflow.plugins import Estimate
from structflow.plugins.registry import registry

NOISE, PRECISION = 0.5, 2.0
X = normal(8, 3, seed=1)
Y = X[:, :1] - X[:, 1:2] + NOISE * normal(8, 1, seed=2)
LINEAR = graph({"x": (3,), "y": (1,)}, edge("x", "y", "all", fn("linear", bias=False)))
RICH = rich_graph()
H = X.T @ X / NOISE**2 + PRECISION * torch.eye(3, dtype=DOUBLE)
RATE = 0.3 / float(torch.linalg.eigvalsh(H)[-1])
SETTINGS = {"prior": {"weights": {"precision": PRECISION}}, "likelihood_options": {"noise": NOISE}}


def trained_at(members, x=X, y=Y, **settings) -> TrainedPopulation:
    bound = make_bound(members, **{**SETTINGS, **settings})
    return TrainedPopulation(bound, bound.of_labels(perturbed(start(bound))), keys_of(members), x, y, 0.7)


def linear(count: int = 1, **settings) -> TrainedPopulation:
    return trained_at(population(LINEAR, structures(LINEAR) * count, list(range(count))), **settings)


def rich(count: int = 4) -> TrainedPopulation:
    """Members of different structures and numbers of weights."""
    return trained_at(population(RICH, pick(structures(RICH), count, 1), list(range(count))))


def bent(numbers, restarts, y=Y) -> TrainedPopulation:
    """Networks of one hidden unit: tanh without a constant (number 0, five weights) or softplus with one (1, six)."""
    of = graph(
        {"x": (3,), "h": (1,), "y": (1,)},
        edge("x", "h", "one", fn("dense", bias=False), fn("dense", activation="softplus")),
        edge("h", "y", "all", fn("linear")),
    )
    return trained_at(population(of, [structures(of)[number] for number in numbers], restarts), y=y)


def estimate(name: str, trained: TrainedPopulation, **options: Any) -> Estimate:
    registration = registry().of_kind("evidence_estimators")[name]
    found: Estimate = registration.plugin.estimate(registration.options.model_validate(options), trained, 16)
    return found


def log_evidence() -> float:
    covariance = NOISE**2 * torch.eye(8, dtype=DOUBLE) + X @ X.T / PRECISION
    return float(torch.distributions.MultivariateNormal(torch.zeros(8, dtype=DOUBLE), covariance).log_prob(Y[:, 0]))


def moments_after(steps: int, variance: float, noise: float = 0.0):
    """Mean and covariance of w after steps w' = w + β (Xᵀy/σ² − H w) + √noise ξ from N(0, variance)."""
    jacobian = torch.eye(3, dtype=DOUBLE) - RATE * H
    mean, covariance = torch.zeros(3, dtype=DOUBLE), variance * torch.eye(3, dtype=DOUBLE)
    for _ in range(steps):
        mean = jacobian @ mean + RATE * (X.T @ Y[:, 0]) / NOISE**2
        covariance = jacobian @ covariance @ jacobian + noise * torch.eye(3, dtype=DOUBLE)
    return mean, covariance


def expected_log_joint(mean, covariance) -> float:
    """E log p(y, w) for w ~ N(mean, covariance)."""
    likelihood = torch.distributions.Normal(X @ mean, NOISE).log_prob(Y[:, 0]).sum()
    prior = torch.distributions.Normal(*torch.tensor([0.0, PRECISION**-0.5], dtype=DOUBLE)).log_prob(mean).sum()
    return float(likelihood + prior - 0.5 * (H @ covariance).trace())


def normal_entropy(covariance) -> float:
    return 0.5 * float(torch.logdet(2 * math.pi * math.e * covariance))


def looks_of(trained: TrainedPopulation, restarts: int, steps: int, langevin: bool = False, every: int = 1):
    joint = LogJoint(trained.weights)
    rate = torch.full((trained.size,), RATE, dtype=DOUBLE)
    begin = descent_start(trained.weights, 1.0, restarts, "test")
    return list(Descent(joint, rate, langevin, steps, every, every, "test").looks(begin))


def within(values, expected: float, errors: float = 5) -> bool:
    """Whether a mean over restarts, (r,), is what it should be."""
    return abs(float(values.mean()) - expected) <= errors * float(values.std()) / len(values) ** 0.5 + 1e-9


def test_entropy_of_gradient_steps_is_the_known_one():
    """From N(0, I) by 12 steps S is S⁰ + 12 log|det(I − βH)|: the estimate has the mean S⁰ − 12 Σ (a + a²), a = β λ,
    which is lower by at most what the cubic terms of log(1 − a) leave, 12 Σ a³ / (3 (1 − a)) − a²/2."""
    eigenvalues = RATE * torch.linalg.eigvalsh(H)
    exact = normal_entropy(moments_after(12, 1.0)[1])
    quadratic = 1.5 * math.log(2 * math.pi * math.e) - 12 * float((eigenvalues + eigenvalues.square()).sum())
    looks = looks_of(linear(), 400, 12)
    assert within(looks[-1].entropy[0], quadratic)
    assert float(looks[-1].entropy.mean()) < exact
    slack = 12 * float((eigenvalues.square() + (1 - eigenvalues).log() + eigenvalues).sum())
    assert exact - quadratic == pytest.approx(slack, abs=1e-9)
    assert 0 < slack < 0.1 * (looks[0].entropy[0, 0] - exact)
    assert float(looks[-1].largest_step.max()) == pytest.approx(0.3, rel=0.02)


def test_bound_of_gradient_steps_is_the_known_one():
    """At every look the mean over 400 restarts is E log p(y, w) + S⁰ − t Σ (a + a²) within 5 errors."""
    eigenvalues = RATE * torch.linalg.eigvalsh(H)
    change = float((eigenvalues + eigenvalues.square()).sum())
    for look in looks_of(linear(), 400, 12, every=4):
        expected = expected_log_joint(*moments_after(look.step, 1.0)) - look.step * change
        expected += 1.5 * math.log(2 * math.pi * math.e)
        assert within(look.bound[0], expected)
        assert expected < log_evidence()


def test_entropy_of_langevin_steps():
    """S ← (n/2) log(e^{2S/n} + 2πe·2β): the estimate is the recursion's, and below ½ log|2πe Σ_t| of the true Σ_t."""
    eigenvalues = RATE * torch.linalg.eigvalsh(H)
    entropy = 1.5 * math.log(2 * math.pi * math.e)
    for _ in range(30):
        entropy -= float((eigenvalues + eigenvalues.square()).sum())
        entropy = 1.5 * math.log(math.exp(2 * entropy / 3) + 2 * math.pi * math.e * 2 * RATE)
    mean, covariance = moments_after(30, 1.0, noise=2 * RATE)
    last = looks_of(linear(), 1000, 30, langevin=True)[-1]
    assert within(last.entropy[0], entropy, 6)
    assert float(last.entropy.mean()) < normal_entropy(covariance)
    assert within(last.log_joint[0], expected_log_joint(mean, covariance))


def test_noise_adds_to_the_entropy_power():
    """Two halves by themselves; a deviation shrinks by e^{2S/n} / (e^{2S/n} + 2πe ε), by finite differences."""
    entropy = torch.tensor([[0.1, 0.3, -0.2, 0.4]], dtype=DOUBLE)
    variance, size = torch.tensor([[0.02]], dtype=DOUBLE), torch.tensor([[3]])
    found, kept = with_noise(entropy, variance, size)

    def combined(s: float) -> float:
        return 1.5 * math.log(math.exp(2 * s / 3) + 2 * math.pi * math.e * 0.02)

    slope = (combined(0.2 + 1e-6) - combined(0.2 - 1e-6)) / 2e-6
    assert found[0, :2].tolist() == pytest.approx([combined(0.2) - 0.1 * slope, combined(0.2) + 0.1 * slope], abs=1e-8)
    assert float(found[0, 2:].mean()) == pytest.approx(combined(0.1), abs=1e-12)
    assert float(kept[0, 0]) == pytest.approx(slope, abs=1e-8)


def test_random_signs_average_to_the_traces():
    """20,000 estimates have the mean −tr B − tr B² within 5 errors, and each is r0ᵀ(−2 r0 + 3 r1 − r2)."""
    root = normal(6, 6, seed=3)
    b = 0.05 * (root + root.T)
    signs = normal(1, 20_000, 6, seed=4).sign()
    change, size = entropy_change(signs, signs @ b)
    assert within(change[0], float(-b.trace() - (b @ b).trace()))
    r1 = signs - signs @ b
    r2 = r1 - r1 @ b
    torch.testing.assert_close(change, (signs * (-2 * signs + 3 * r1 - r2)).sum(-1), rtol=1e-12, atol=1e-12)
    assert float(size.max()) <= float(torch.linalg.eigvalsh(b).abs().max()) + 1e-12


def test_products_with_the_hessian():
    """Against torch.func.hessian, for members of different structures; and the average over the parts of the rows."""
    trained = rich(3)
    weights = trained.weights
    w = 0.5 * normal(3, 2, weights.used.shape[1], seed=5) * weights.used.unsqueeze(1)
    v = normal(*w.shape, seed=6) * weights.used.unsqueeze(1)
    joint = LogJoint(weights)
    value, gradient, product = joint.product(w, v, 0)
    torch.testing.assert_close(value, joint.value(w), rtol=1e-12, atol=1e-12)

    def loss(vector):
        return -(weights.log_likelihood(vector.reshape(w.shape)) + weights.log_prior(vector.reshape(w.shape))).sum()

    expected = (torch.func.hessian(loss)(w.flatten()) @ v.flatten()).reshape(w.shape)
    torch.testing.assert_close(product, expected, rtol=1e-9, atol=1e-9)
    parts = LogJoint(weights, batch_size=3)  # 8 rows: 3, 3 and 2
    assert sorted(torch.cat([parts.rows(step) for step in range(3)]).tolist()) == list(range(8))
    scale = torch.tensor([3 / 8, 3 / 8, 2 / 8], dtype=DOUBLE).reshape(3, 1, 1, 1)
    average = (scale * torch.stack([parts.gradient(w, step)[1] for step in range(3)])).sum(0)
    torch.testing.assert_close(average, gradient, rtol=1e-9, atol=1e-9)


def test_curvature_is_the_largest_eigenvalue():
    """20 iterations of 5 starts on a quadratic: within 2 % of the largest eigenvalue and not above it."""
    weights = linear().weights
    found = curvature(LogJoint(weights), torch.zeros(1, 5, 3, dtype=DOUBLE), 0, "test").largest[0]
    largest = float(torch.linalg.eigvalsh(H)[-1])
    assert (found <= largest * (1 + 1e-12)).all()
    assert (found >= 0.98 * largest).all()


def test_measuring_every_fourth_step():
    """One measured step of four that counts four times: on a quadratic the mean is the same, S⁰ − 12 Σ (a + a²)."""
    trained = linear()
    begin = descent_start(trained.weights, 1.0, 400, "test")
    rate = torch.full((1,), RATE, dtype=DOUBLE)
    last = list(Descent(LogJoint(trained.weights), rate, False, 12, 4, 4, "test").looks(begin))[-1]
    eigenvalues = RATE * torch.linalg.eigvalsh(H)
    expected = 1.5 * math.log(2 * math.pi * math.e) - 12 * float((eigenvalues + eigenvalues.square()).sum())
    assert within(last.entropy[0], expected)
    with pytest.raises(ValueError, match="make the first a multiple of the second"):
        DescentOptions(check_every=10, measure_every=4)


@pytest.mark.parametrize("name", ["sgd_entropy", "sgld_entropy"])
def test_estimates_stay_below_the_evidence(name):
    """Three members that differ in their noise alone, 100 restarts: below the evidence, by less than 5 nats."""
    found = estimate(name, linear(3), restarts=100, steps=60)
    assert not found.missing
    assert (found.value < log_evidence() + 3 * found.standard_error).all()
    assert (found.value > log_evidence() - 5).all()


def test_a_start_at_the_posterior_has_no_error():
    """q is the posterior: then log p(y, w) − log q(w) is the evidence for every w, and no step makes it better."""
    trained = linear(posterior={"weights": {"covariance": "full"}})
    covariance = torch.linalg.inv(H)
    factor = torch.linalg.cholesky(covariance)
    own = trained.parameters.theta.weights[0]
    own["cholesky"].copy_(torch.tril(factor, -1) + torch.diag(factor.diagonal().log()))
    own["mean"].copy_((covariance @ X.T @ Y / NOISE**2).reshape(1, 3))
    found = estimate("sgd_entropy", trained, start="posterior")
    assert float(found.value) == pytest.approx(log_evidence(), abs=0.2)
    begin = descent_start(trained.weights, "posterior", 4, "test")
    first = LogJoint(trained.weights).value(begin.draws) + begin.entropy.unsqueeze(1) + begin.surprise
    torch.testing.assert_close(first, torch.full_like(first, log_evidence()), rtol=1e-9, atol=1e-9)
    assert float(begin.entropy) == pytest.approx(normal_entropy(covariance), abs=1e-9)


def test_starts():
    """N(0, 1/A) and N(0, 2²) have the entropies ½ Σ log 2πe s²; −log q⁰(w) − S is 0 on average; biases spread, too."""
    weights = rich().weights
    size = weights.used.sum(1)
    for kind, variance in (("prior", 1 / PRECISION), (2.0, 4.0)):
        begin = descent_start(weights, kind, 500, "test")
        expected = 0.5 * size.double() * math.log(2 * math.pi * math.e * variance)
        torch.testing.assert_close(begin.entropy, expected, rtol=1e-12, atol=1e-12)
        assert all(within(row, 0.0) for row in begin.surprise)
        density = torch.distributions.Normal(*torch.tensor([0.0, variance**0.5], dtype=DOUBLE)).log_prob(begin.draws)
        density = torch.where(weights.used.unsqueeze(1), density, 0.0).sum(-1)
        torch.testing.assert_close(begin.surprise, -density - begin.entropy.unsqueeze(1), rtol=1e-9, atol=1e-9)
    spread = descent_start(weights, "functions", 500, "test").draws.std(1)
    assert (spread[weights.used] > 0.1).all()
    assert (spread[~weights.used] == 0).all()
    point = trained_at(population(RICH, pick(structures(RICH), 1, 1), [0]), posterior={"weights": {"type": "point"}})
    with pytest.raises(CallError, match="got start: posterior for a posterior that is a point"):
        descent_start(point.weights, "posterior", 4, "test")


@pytest.mark.parametrize("name", ["sgd_entropy", "sgld_entropy"])
def test_members_are_independent_of_batch_mates(name):
    """Members alone have the same estimate as together, though they stop at other steps than the others."""
    options = {"restarts": 4, "steps": 20, "patience": 6}
    together = estimate(name, bent([0, 1, 0], [0, 0, 1]), **options)
    assert len(set(together.value.tolist())) == 3
    for number, (structure, restart) in enumerate([(0, 0), (1, 0), (0, 1)]):
        alone = estimate(name, bent([structure], [restart]), **options)
        torch.testing.assert_close(alone.value[0], together.value[number], rtol=1e-8, atol=1e-8)
        assert alone.standard_error.isnan().all()
        assert together.unsure[number] == alone.unsure[0]


def test_a_rate_that_is_too_large_has_no_value():
    """βλ_max = 0.9 > 0.68: NaN, and why."""
    found = estimate("sgd_entropy", linear(2), rate=3 * RATE)
    assert found.value.isnan().all()
    assert set(found.missing) == {0, 1}
    assert "rate × largest eigenvalue is 0.9" in found.missing[0]


def test_the_default_rate_follows_the_curvature():
    """Targets around 20: the output's weights grow and λ_max with them. Steps of 0.65 / λ_max at the start become too
    large, which is noticed; the default goes back and finds rates that don't."""
    trained = bent([1], [0], y=20 + 8 * Y)
    joint, options = LogJoint(trained.weights), DescentOptions(restarts=2, steps=40)
    begin = descent_start(trained.weights, options.start, 2, "sgd_entropy/start")
    steepest = curvature(joint, begin.draws, 0, "sgd_entropy/start").largest.amax(1)
    broken = run(joint, options, 0.65 / steepest, False, "sgd_entropy")
    assert float(broken.largest_step) > LARGEST_STEP
    assert not bool(broken.valid)
    found = estimate("sgd_entropy", trained, restarts=2, steps=40)
    assert not found.missing
    assert bool(found.value.isfinite())


@pytest.mark.parametrize("name", ["sgd_entropy", "sgld_entropy"])
def test_a_bent_model_with_one_weight(name):
    """y = tanh(w x) + noise: log ∫ p(y | w) p(w) dw on a grid of 20,001 points exceeds the bound, by at most 2 nats."""
    of = graph({"x": (1,), "y": (1,)}, edge("x", "y", "all", fn("dense", bias=False)))
    x = X[:, :1]
    y = (1.5 * x).tanh() + NOISE * normal(8, 1, seed=9)
    trained = trained_at(population(of, structures(of), [0]), x=x, y=y)
    grid = torch.linspace(-8, 8, 20_001, dtype=DOUBLE)
    values = LogJoint(trained.weights).value(grid.reshape(1, -1, 1))[0]
    exact = float(values.logsumexp(0)) + math.log(16 / 20_000)
    found = estimate(name, trained, restarts=100, steps=60)
    assert float(found.value) < exact + 3 * float(found.standard_error)
    assert float(found.value) > exact - 2
