"""The kit fails for likelihoods and structure distributions that break a promise, and for sources that do."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from kit import messages
from laplace_likelihood import Laplace

from structflow.errors import SpecError
from structflow.plugins import DataOptions, DataSource, Table
from structflow.plugins.registry import registry
from structflow.testing import DataSourceExample, Example, LikelihoodExample

TARGETS = [LikelihoodExample({}, 2)]


def test_a_good_likelihood_passes(monkeypatch):
    assert messages(monkeypatch, "likelihoods", Laplace, TARGETS, "likelihood_trains") == {}
    assert messages(monkeypatch, "likelihoods", Laplace, None) == {}


class Unnormalised(Laplace):
    """Forgets log 2."""

    def log_prob(self, parameters, y, f):
        return -(y - f).abs().sum(-1)


class WrongMoments(Laplace):
    """Takes the variance for that of the normal distribution."""

    def moments(self, parameters, f):
        return f, torch.ones_like(f)


class WrongDraws(Laplace):
    """Draws around another mean."""

    def draw(self, parameters, f, generator):
        return super().draw(parameters, f, generator) + 0.5


class OwnRandomness(Laplace):
    """Draws from a generator of its own."""

    def draw(self, parameters, f, generator):
        return f.numpy() + np.random.laplace(size=f.shape)


class AllRows(Laplace):
    """Sums over rows too."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f).sum()


class MixesRows(Laplace):
    """Centres f over the rows."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f - f.mean(0))


class OnTheCpu(Laplace):
    """Makes a constant on the CPU."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f + torch.zeros(1))


class UnusedParameter(Laplace):
    """Learns a parameter that nothing depends on."""

    def parameters(self, out_shape):
        return {"scale": np.zeros(out_shape)}


class InfiniteParameter(Laplace):
    """Starts a parameter at log 0."""

    def parameters(self, out_shape):
        return {"scale": np.full(out_shape, -np.inf)}

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f) + parameters["scale"].exp().sum()


class WrongExpectation(Laplace):
    """Takes the expectation for the value at the mean."""

    closed_form = True

    def expected_log_prob(self, parameters, y, mean, variance):
        return self.log_prob(parameters, y, mean)


class UndeclaredExpectation(Laplace):
    """Has an expectation without saying so."""

    def expected_log_prob(self, parameters, y, mean, variance):
        return self.log_prob(parameters, y, mean)


class RootOfZero(Laplace):
    """Has a gradient of NaN where f is 0."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f) + 1e-12 * f.square().sum(-1).sqrt()


class NumpyMetrics(Laplace):
    """Gives metrics that JSON can't hold."""

    def metrics(self, y, prediction):
        return {"mae": np.abs(y - prediction).mean()}


class ListShape(Laplace):
    """Gives a list for a shape."""

    @classmethod
    def output_shape(cls, options, n_targets, n_classes):
        return [n_targets]


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Unnormalised, {"sums_to_one", "moments_are_its_own", "two_targets_have_a_joint_density"}),
        (WrongMoments, {"moments_are_its_own", "two_targets_have_a_joint_density"}),
        (WrongDraws, {"draws_follow_the_moments", "draws_follow_the_density"}),
        (OwnRandomness, {"draws_follow_the_moments"}),
        (MixesRows, {"rows_do_not_mix"}),
        (OnTheCpu, {"works_on_any_device", "stays_in_double_precision"}),
        (UnusedParameter, {"gradients_are_finite"}),
        (WrongExpectation, {"closed_form_is_the_expectation"}),
        (UndeclaredExpectation, {"closed_form_is_declared"}),
        (RootOfZero, {"gradients_are_finite"}),
        (NumpyMetrics, {"metrics_are_numbers"}),
        (AllRows, {"log_prob_has_shape_and_dtype", "rows_do_not_mix"}),
        (InfiniteParameter, {"parameters_are_finite"}),
        (ListShape, {"output_shape_is_a_shape"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_likelihood_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "likelihoods", plugin, TARGETS)
    assert set(found) >= rules, found
    assert set(found) == rules or plugin in (AllRows, InfiniteParameter, ListShape, Unnormalised, MixesRows), found
    assert all(f"likelihood '{plugin.type}'" in message for message in found.values())


GumbelSoftmax: Any = registry().get("structure_distributions", "gumbel_softmax")


class WrongDensity(GumbelSoftmax):
    """Leaves out the power of the temperature."""

    @staticmethod
    def log_prob(space, log_concentration, temperature, coordinates):
        n_functions = coordinates.shape[-1]
        found = GumbelSoftmax.log_prob(space, log_concentration, temperature, coordinates)
        return found - (n_functions if space == "any" else n_functions - 1) * temperature.log()


class WrongRounding(GumbelSoftmax):
    """Squares the odds."""

    @staticmethod
    def rounding_probabilities(space, log_concentration):
        return GumbelSoftmax.rounding_probabilities(space, 2 * log_concentration)


class NotOnTheSimplex(GumbelSoftmax):
    """Doubles γ."""

    @staticmethod
    def log_gamma(space, coordinates):
        return GumbelSoftmax.log_gamma(space, coordinates) + math.log(2)


class OwnUniforms(GumbelSoftmax):
    """Draws random numbers of its own."""

    @staticmethod
    def sample(space, log_concentration, temperature, uniform):
        return GumbelSoftmax.sample(space, log_concentration, temperature, torch.rand_like(uniform))


class Detached(GumbelSoftmax):
    """Cuts the gradient."""

    @staticmethod
    def sample(space, log_concentration, temperature, uniform):
        return GumbelSoftmax.sample(space, log_concentration.detach(), temperature, uniform)


class ShortPrior(GumbelSoftmax):
    """Leaves one function out."""

    @staticmethod
    def prior_log_concentration(space, options, n_functions):
        return [0.0] * (n_functions - 1)


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (WrongDensity, {"densities_are_relative", "densities_move_samples"}),
        (WrongRounding, {"rounding_is_that_of_samples", "vertices_have_the_probabilities_of_rounding"}),
        (NotOnTheSimplex, {"gamma_is_in_its_space", "rounding_is_that_of_samples"}),
        (OwnUniforms, {"gamma_is_in_its_space", "shapes_broadcast", "gradients_are_derivatives"}),
        (Detached, {"gradients_reach_the_parameters", "gradients_are_derivatives"}),
        (ShortPrior, {"prior_starts_finite"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_distribution_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "structure_distributions", plugin, None)
    assert set(found) == rules, found


class Rows(DataSource):
    """Three rows."""

    type = "rows"

    @staticmethod
    def read(options, base):
        return Table(np.eye(3), np.arange(3.0)[:, None], ("a", "b", "c"), ("y",))


class PathOptions(DataOptions):
    """With a path."""

    path: str


class Single(Rows):
    """In float32."""

    @staticmethod
    def read(options, base):
        return Table(np.eye(3, dtype=np.float32), np.arange(3.0)[:, None], ("a", "b", "c"), ("y",))


class Nameless(Rows):
    """Names too few columns."""

    @staticmethod
    def read(options, base):
        return Table(np.eye(3), np.arange(3.0)[:, None], ("a", "b"), ("y",))


class Restless(Rows):
    """Other rows at each read."""

    reads: ClassVar[int] = 0

    @staticmethod
    def read(options, base):
        Restless.reads += 1
        return Table(np.eye(3) * Restless.reads, np.arange(3.0)[:, None], ("a", "b", "c"), ("y",))


class SilentAboutFiles(Rows):
    """Doesn't notice a missing file."""

    Options = PathOptions


class OtherKey(SilentAboutFiles):
    """Reports a missing file elsewhere."""

    @staticmethod
    def read(options, base):
        if options.path != "here":
            raise SpecError.single("model.path", "it isn't there", "write another")
        return Rows.read(options, base)


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Rows, set()),
        (Single, {"gives_a_table"}),
        (Nameless, {"gives_a_table"}),
        (Restless, {"reads_the_same_twice", "inputs_are_those_of_the_table"}),
        (SilentAboutFiles, {"a_missing_file_is_reported"}),
        (OtherKey, {"a_missing_file_is_reported"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_source_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    options = {"path": "here"} if plugin.Options is PathOptions else {}
    found = messages(monkeypatch, "data_sources", plugin, [DataSourceExample(options)])
    assert set(found) - {"options_described"} == rules, found


def test_examples_of_another_kind_are_reported(monkeypatch):
    found = messages(monkeypatch, "data_sources", Rows, [Example()])
    assert "not DataSourceExample" in found["examples_fit"]
