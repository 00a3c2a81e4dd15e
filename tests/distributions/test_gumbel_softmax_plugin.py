"""The built-in structure distribution: it keeps the contract, and its options need no torch."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from structflow.builtin.structure_distributions.gumbel_softmax import GumbelSoftmax
from structflow.plugins.registry import registry

MEMBERS, SAMPLES, K = 2, 4, 3


def test_it_is_registered():
    assert registry().get("structure_distributions", "gumbel_softmax") is GumbelSoftmax


@pytest.mark.parametrize("space", ["one", "any"])
def test_it_keeps_the_contract(space):
    log_concentration = torch.linspace(-1, 1, MEMBERS * K).reshape(MEMBERS, 1, K)
    temperature = torch.tensor([[0.5], [1.0]])
    uniform = torch.rand(MEMBERS, SAMPLES, K, generator=torch.Generator().manual_seed(0))
    coordinates = GumbelSoftmax.sample(space, log_concentration, temperature, uniform)
    log_gamma = GumbelSoftmax.log_gamma(space, coordinates)
    probabilities = GumbelSoftmax.rounding_probabilities(space, log_concentration)
    assert coordinates.shape == log_gamma.shape == (MEMBERS, SAMPLES, K)
    assert GumbelSoftmax.log_prob(space, log_concentration, temperature, coordinates).shape == (MEMBERS, SAMPLES)
    assert (log_gamma <= 0).all()
    assert (log_gamma.exp().sum(-1) - 1).abs().max() < 1e-5 or space == "any"
    assert (probabilities.sum(-1) - 1).abs().max() < 1e-6 or space == "any"


def test_the_starting_concentration_of_the_prior():
    options = GumbelSoftmax.Options(concentration=0.5)
    assert GumbelSoftmax.prior_log_concentration("one", options, K) == [0.0] * K
    assert GumbelSoftmax.prior_log_concentration("any", options, K) == [math.log(0.5)] * K


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"concentration": -1.0}, {"temperatur": 0.5}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        GumbelSoftmax.Options(**wrong)


def test_the_temperature_may_follow_a_schedule():
    schedule = {"schedule": "exponential", "over": "stages", "from": 1.0, "to": 0.1}
    assert GumbelSoftmax.Options(temperature=schedule).temperature.at(1, 2) == pytest.approx(0.1)
    with pytest.raises(ValidationError, match="above 0"):
        GumbelSoftmax.Options(temperature={"schedule": "linear", "from": 1.0, "to": 0.0})


def test_reading_the_options_does_not_import_torch():
    code = (
        "import sys; from structflow.builtin.structure_distributions.gumbel_softmax import GumbelSoftmax; "
        "GumbelSoftmax.Options(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
