"""Built-in likelihoods against scipy.stats and torch.distributions, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.func import vmap

from structflow.plugins import Likelihood
from structflow.plugins.registry import registry

ROWS, TARGETS, CLASSES = 7, 3, 4
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(type_name: str, target_scale: Any = (1.0,) * TARGETS, **options: Any) -> Likelihood:
    registration = registry().of_kind("likelihoods")[type_name]
    likelihood: Likelihood = registration.plugin(registration.options(**options), np.array(target_scale))
    return likelihood


def one_of_each() -> list[tuple[Likelihood, dict[str, Tensor], Tensor, Tensor]]:
    """Likelihood, its parameters, prepared targets, and values of the output node."""
    f = draw(ROWS, TARGETS, seed=1)
    counts = torch.arange(ROWS * TARGETS, dtype=torch.float64).reshape(ROWS, TARGETS) % 5
    return [
        (make("gaussian"), {"log_noise": 0.3 * draw(TARGETS, seed=2)}, draw(ROWS, TARGETS, seed=3), f),
        (make("gaussian", noise=0.7), {}, draw(ROWS, TARGETS, seed=3), f),
        (make("bernoulli"), {}, counts % 2, 3 * f),
        (make("poisson"), {}, counts, f),
        (make("categorical", (1.0,)), {}, (counts[:, :1] % CLASSES), draw(ROWS, CLASSES, seed=4)),
    ]


each_likelihood = pytest.mark.parametrize(
    ("likelihood", "parameters", "y", "f"), one_of_each(), ids=lambda value: getattr(value, "type", None) or ""
)


def reference(likelihood: Likelihood, parameters: dict[str, Tensor], f: Tensor) -> torch.distributions.Distribution:
    if likelihood.type == "gaussian":
        noise = parameters["log_noise"].exp() if parameters else torch.tensor(0.7, dtype=f.dtype)
        return torch.distributions.Normal(f, noise)
    if likelihood.type == "bernoulli":
        return torch.distributions.Bernoulli(logits=f)
    if likelihood.type == "poisson":
        return torch.distributions.Poisson(f.exp())
    return torch.distributions.Categorical(logits=f)


@each_likelihood
def test_log_prob_is_that_of_torch(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    distribution = reference(likelihood, parameters, f)
    expected = distribution.log_prob(y[:, 0]) if likelihood.type == "categorical" else distribution.log_prob(y).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(parameters, y, f), expected, **TOLERANCE)


@each_likelihood
def test_log_prob_is_that_of_scipy(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    values, outputs = y.numpy(), f.numpy()
    if likelihood.type == "gaussian":
        scale = parameters["log_noise"].exp().numpy() if parameters else 0.7
        expected = scipy.stats.norm.logpdf(values, outputs, scale).sum(-1)
    elif likelihood.type == "bernoulli":
        expected = scipy.stats.bernoulli.logpmf(values, scipy.special.expit(outputs)).sum(-1)
    elif likelihood.type == "poisson":
        expected = scipy.stats.poisson.logpmf(values, np.exp(outputs)).sum(-1)
    else:
        rows = np.arange(ROWS)
        expected = np.log(scipy.special.softmax(outputs, axis=-1))[rows, values[:, 0].astype(int)]
    np.testing.assert_allclose(likelihood.log_prob(parameters, y, f).numpy(), expected, rtol=1e-10)


@each_likelihood
def test_moments_are_those_of_torch(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    mean, variance = likelihood.moments(parameters, f)
    distribution = reference(likelihood, parameters, f)
    if likelihood.type == "categorical":
        torch.testing.assert_close(mean, f.softmax(-1), **TOLERANCE)
        torch.testing.assert_close(variance, mean * (1 - mean), **TOLERANCE)
        torch.testing.assert_close(mean.sum(-1), torch.ones(ROWS, dtype=f.dtype), **TOLERANCE)
        return
    torch.testing.assert_close(mean, distribution.mean, **TOLERANCE)
    torch.testing.assert_close(variance, distribution.variance, **TOLERANCE)


@each_likelihood
def test_rows_stand_alone_and_members_vectorise(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    whole = likelihood.log_prob(parameters, y, f)
    assert whole.shape == (ROWS,)
    torch.testing.assert_close(likelihood.log_prob(parameters, y[2:4], f[2:4]), whole[2:4], rtol=0, atol=0)
    members = vmap(likelihood.log_prob, (None, None, 0))(parameters, y, torch.stack([f, 2 * f]))
    torch.testing.assert_close(members, torch.stack([whole, likelihood.log_prob(parameters, y, 2 * f)]), **TOLERANCE)


@each_likelihood
def test_log_prob_has_finite_gradients(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    far = (10 * f).requires_grad_()
    likelihood.log_prob(parameters, y, far).sum().backward()
    assert far.grad is not None
    assert bool(torch.isfinite(far.grad).all())


@each_likelihood
def test_expectation_over_a_normal_output(likelihood: Likelihood, parameters: Any, y: Tensor, f: Tensor) -> None:
    """E log p(y | f) for f ~ N(mean, variance) by Gauss-Hermite quadrature."""
    variance = 0.2 + draw(*f.shape, seed=5).square()
    if not likelihood.closed_form:
        with pytest.raises(TypeError, match=f"likelihood {likelihood.type} has no closed-form expectation"):
            likelihood.expected_log_prob(parameters, y, f, variance)
        return
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    expected = torch.zeros(ROWS, dtype=f.dtype)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):  # targets are independent given f
        expected += weight * likelihood.log_prob(parameters, y, f + float(node) * variance.sqrt())
    torch.testing.assert_close(likelihood.expected_log_prob(parameters, y, f, variance), expected, **TOLERANCE)
    at_a_point = likelihood.expected_log_prob(parameters, y, f, torch.zeros_like(f))
    torch.testing.assert_close(at_a_point, likelihood.log_prob(parameters, y, f), **TOLERANCE)


def test_fixed_noise_is_in_the_units_of_the_target() -> None:
    """With targets divided by 10, a noise of 5 is 0.5 in prepared units."""
    likelihood = make("gaussian", (10.0,), noise=5.0)
    y, f = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[0.1]], dtype=torch.float64)
    expected = scipy.stats.norm.logpdf(0.3, 0.1, 0.5)
    assert likelihood.log_prob({}, y, f).item() == pytest.approx(expected)


def test_learned_noise_starts_at_one() -> None:
    assert make("gaussian").parameters((TARGETS,)).keys() == {"log_noise"}
    assert make("gaussian").parameters((TARGETS,))["log_noise"].tolist() == [0.0] * TARGETS
    assert all(not make(name, noise=1.0).parameters((1,)) for name in ("gaussian",))
    assert all(not make(name).parameters((1,)) for name in ("bernoulli", "poisson", "categorical"))


@pytest.mark.parametrize(
    ("type_name", "shape"),
    [("gaussian", (TARGETS,)), ("bernoulli", (TARGETS,)), ("poisson", (TARGETS,)), ("categorical", (CLASSES,))],
)
def test_shape_of_the_output_node(type_name: str, shape: tuple[int, ...]) -> None:
    likelihood = make(type_name)
    assert likelihood.output_shape(likelihood.options, TARGETS, CLASSES) == shape
