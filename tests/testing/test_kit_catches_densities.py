"""The kit tells wrong distributions of y from right ones, also over two targets and where y is bounded."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from kit import messages
from laplace_likelihood import Laplace

from structflow.plugins import Likelihood
from structflow.testing import LikelihoodExample

TARGETS = [LikelihoodExample({}, 2)]
POSITIVE = [LikelihoodExample({}, 2, targets=[0.2, 1.5, 0.7, 3.0, 0.01])]
JOINT = "two_targets_have_a_joint_density"


class MeanOverTargets(Laplace):
    """Takes the mean over the targets."""

    def log_prob(self, parameters, y, f):
        return (-(y - f).abs() - math.log(2)).mean(-1)


class FirstTargetOnly(Laplace):
    """Leaves out all targets but the first."""

    def log_prob(self, parameters, y, f):
        return (-(y - f).abs() - math.log(2))[:, 0]


class TargetsMixed(Laplace):
    """Compares each target with the value for another."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f.flip(-1))


class Normal(Laplace):
    """p(y | f) = ∏_j N(y_j | f_j, 1), with E log p(y | f) in closed form."""

    closed_form = True
    draw = Likelihood.draw

    def log_prob(self, parameters, y, f):
        return self.expected_log_prob(parameters, y, f, torch.zeros_like(f))

    def moments(self, parameters, f):
        return f, torch.ones_like(f)

    def expected_log_prob(self, parameters, y, mean, variance):
        return -0.5 * (math.log(2 * math.pi) + (y - mean).square() + variance).sum(-1)


class FirstVarianceOnly(Normal):
    """Has the variance of the first target for all."""

    def expected_log_prob(self, parameters, y, mean, variance):
        return super().expected_log_prob(parameters, y, mean, variance[..., :1].expand_as(variance))


class FirstVarianceOnce(Normal):
    """Leaves out all variances but the first."""

    def expected_log_prob(self, parameters, y, mean, variance):
        without = super().expected_log_prob(parameters, y, mean, torch.zeros_like(variance))
        return without - 0.5 * variance[..., 0]


class NormalDraws(Laplace):
    """Has no draw of its own."""

    draw = Likelihood.draw


class NarrowDraws(Laplace):
    """Draws with a third of the deviation."""

    def draw(self, parameters, f, generator):
        return f.numpy() + generator.laplace(size=f.shape) / 3


class ScaledNormal(Normal):
    """p(y | f) = ∏_j N(y_j | f_j, s_j²), with s = (1, 1.5) for two targets, but moments of the other target."""

    closed_form = False
    expected_log_prob = Likelihood.expected_log_prob

    def log_prob(self, parameters, y, f):
        scale = f.new_tensor(self.target_scale)
        return -(0.5 * math.log(2 * math.pi) + scale.log() + 0.5 * ((y - f) / scale).square()).sum(-1)

    def moments(self, parameters, f):
        return f, f.new_tensor(self.target_scale).square().flip(0).expand_as(f)


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (MeanOverTargets, {JOINT}),
        (FirstTargetOnly, {JOINT}),
        (TargetsMixed, {JOINT}),
        (ScaledNormal, {JOINT}),
        (FirstVarianceOnly, {"closed_form_is_the_expectation"}),
        (FirstVarianceOnce, {"closed_form_is_the_expectation"}),
        (NormalDraws, {"draws_follow_the_density"}),
        (NarrowDraws, {"draws_follow_the_density"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_distribution_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "likelihoods", plugin, TARGETS)) == rules


class ClosedLaplace(Laplace):
    """With E|y − f|, the mean of a folded normal number: a kink in f."""

    closed_form = True

    def expected_log_prob(self, parameters, y, mean, variance):
        deviation, off = variance.clamp(min=1e-300).sqrt(), y - mean
        near = deviation * math.sqrt(2 / math.pi) * (-off.square() / (2 * deviation.square())).exp()
        return -(near + off * torch.erf(off / (deviation * math.sqrt(2))) + math.log(2)).sum(-1)


class StudentT(Laplace):
    """p(y | f) = ∏_j t(y_j − f_j) with ν degrees of freedom; the variance ν / (ν − 2) is infinite up to ν = 2."""

    degrees: ClassVar[float] = 3.0

    def log_prob(self, parameters, y, f):
        degrees = self.degrees
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
        return (constant - (degrees + 1) / 2 * ((y - f).square() / degrees).log1p()).sum(-1)

    def moments(self, parameters, f):
        return f, torch.full_like(f, self.degrees / (self.degrees - 2) if self.degrees > 2 else math.inf)

    def draw(self, parameters, f, generator):
        return f.numpy() + generator.standard_t(self.degrees, size=f.shape)


class HeavyT(StudentT):
    """With ν = 2.2."""

    degrees = 2.2


class HeavierT(StudentT):
    """With ν = 2.05."""

    degrees = 2.05


class Cauchy(StudentT):
    """With ν = 1."""

    degrees = 1.0


class LogNormal(Laplace):
    """log y_j ~ N(f_j, 1), for y > 0."""

    def log_prob(self, parameters, y, f):
        positive = y > 0
        log_y = torch.where(positive, y, torch.ones_like(y)).log()
        density = -log_y - 0.5 * (log_y - f).square() - 0.5 * math.log(2 * math.pi)
        return torch.where(positive, density, torch.full_like(density, -math.inf)).sum(-1)

    def moments(self, parameters, f):
        mean = (f + 0.5).exp()
        return mean, (math.e - 1) * mean.square()

    def draw(self, parameters, f, generator):
        return generator.lognormal(f.numpy(), 1.0)


class Exponential(Laplace):
    """p(y | f) = ∏_j exp(−f_j − y_j e^−f_j), for y ≥ 0."""

    def log_prob(self, parameters, y, f):
        density = -f - y * (-f).exp()
        return torch.where(y >= 0, density, torch.full_like(density, -math.inf)).sum(-1)

    def moments(self, parameters, f):
        return f.exp(), (2 * f).exp()

    def draw(self, parameters, f, generator):
        return generator.exponential(f.exp().numpy())


class Gumbel(Laplace):
    """p(y | f) = ∏_j exp(−z_j − e^−z_j) with z = y − f: log p is −∞ in floating point, far on the left."""

    def log_prob(self, parameters, y, f):
        return (f - y - (f - y).exp()).sum(-1)

    def moments(self, parameters, f):
        return f + np.euler_gamma, torch.full_like(f, math.pi**2 / 6)

    def draw(self, parameters, f, generator):
        return generator.gumbel(f.numpy())


class Around(Laplace):
    """p(y | f) = ∏_j 1 for |y_j − f_j| < ½, with a gradient of 0: bounded on both sides."""

    def log_prob(self, parameters, y, f):
        return torch.where((y - f).abs() < 0.5, 0 * f, torch.full_like(f, -math.inf)).sum(-1)

    def moments(self, parameters, f):
        return f, torch.full_like(f, 1 / 12)

    def draw(self, parameters, f, generator):
        return generator.uniform(f.numpy() - 0.5, f.numpy() + 0.5)


class ManyCounts(Laplace):
    """y_j ~ Poisson(10⁶ e^f_j)."""

    target = "counts"
    draw = Likelihood.draw

    def log_prob(self, parameters, y, f):
        log_rate = f + math.log(1e6)
        return (y * log_rate - log_rate.exp() - (y + 1).lgamma()).sum(-1)

    def moments(self, parameters, f):
        return 1e6 * f.exp(), 1e6 * f.exp()


class NegativeBinomial(Laplace):
    """Counts of mean e^f_j and variance m + m² / r, with r = 0.3."""

    target = "counts"

    def log_prob(self, parameters, y, f):
        r, mean = 0.3, f.exp()
        constant = (y + r).lgamma() - math.lgamma(r) - (y + 1).lgamma()
        return (constant + r * (r / (r + mean)).log() + y * (mean / (r + mean)).log()).sum(-1)

    def moments(self, parameters, f):
        return f.exp(), f.exp() + (2 * f).exp() / 0.3

    def draw(self, parameters, f, generator):
        return generator.negative_binomial(0.3, 0.3 / (0.3 + f.exp().numpy())).astype(float)


class MeanAndDeviation(Normal):
    """p(y | f) = ∏_j N(y_j | f_j1, e^2f_j2): two values of the output node for each target."""

    closed_form = False
    expected_log_prob = Likelihood.expected_log_prob

    @classmethod
    def output_shape(cls, options, n_targets, n_classes):
        return (n_targets, 2)

    def log_prob(self, parameters, y, f):
        mean, log_deviation = f.unbind(-1)
        z = (y - mean) * (-log_deviation).exp()
        return -(0.5 * math.log(2 * math.pi) + log_deviation + 0.5 * z.square()).sum(-1)

    def moments(self, parameters, f):
        return f[..., 0], (2 * f[..., 1]).exp()


@pytest.mark.parametrize(
    ("plugin", "examples"),
    [
        (Normal, TARGETS),
        (ClosedLaplace, TARGETS),
        (StudentT, TARGETS),
        (HeavyT, TARGETS),
        (HeavierT, TARGETS),
        (Cauchy, TARGETS),
        (LogNormal, POSITIVE),
        (Exponential, POSITIVE),
        (Gumbel, TARGETS),
        (ManyCounts, TARGETS),
        (NegativeBinomial, TARGETS),
        (MeanAndDeviation, TARGETS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_right_distribution_passes(monkeypatch, plugin, examples):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert messages(monkeypatch, "likelihoods", plugin, examples) == {}


def test_a_density_bounded_on_both_sides_is_summed(monkeypatch):
    monkeypatch.setattr(Around, "type", "around")
    found = messages(monkeypatch, "likelihoods", Around, TARGETS)
    assert not {"sums_to_one", "moments_are_its_own", JOINT, "draws_follow_the_density"} & set(found)


def test_bounded_targets_are_asked_for(monkeypatch):
    monkeypatch.setattr(LogNormal, "type", "lognormal")
    found = messages(monkeypatch, "likelihoods", LogNormal, TARGETS)["log_prob_has_shape_and_dtype"]
    assert "name targets that it can have: LikelihoodExample(targets=[0.2, 1.5])" in found
