"""Faults that once passed the kit: each is caught by a rule that names it, and says how to fix it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from good_function import EXAMPLES, Good
from kit import messages
from laplace_likelihood import Laplace
from pydantic import Field

from structflow.plugins import (
    BasisOptions,
    ChunkedTable,
    DataSource,
    Estimate,
    EvidenceEstimator,
    InputTable,
    OuterGradient,
    StreamOptions,
    Table,
)
from structflow.plugins.registry import registry
from structflow.testing import DataSourceExample, LikelihoodExample


class DetachedInputs(Good):
    """Has no gradient in x."""

    def forward(self, weights, x):
        return super().forward(weights, x.detach())


class Rounded(Good):
    """Rounds the inputs, and lets their gradient through as if it didn't."""

    def forward(self, weights, x):
        return super().forward(weights, x + (x.round() - x).detach())


class WrongSlope(Good):
    """Halves the gradient of the bias."""

    def forward(self, weights, x):
        bias = weights["bias"]
        return super().forward({**weights, "bias": 0.5 * bias + (0.5 * bias).detach()}, x)


class Remembers(Good):
    """Subtracts the mean of the first rows that an instance has seen."""

    def forward(self, weights, x):
        if not hasattr(self, "mean"):
            self.mean = float(x.sum()) if x.device.type == "cpu" and not torch._C._functorch.is_batchedtensor(x) else 0
        return super().forward(weights, x - self.mean)


class KeepsTensors(Good):
    """Leaves its last output in the instance."""

    def forward(self, weights, x):
        self.last = [super().forward(weights, x)]
        return self.last[0]


class NormOfWeights(Good):
    """Divides by the norm of the weights."""

    def forward(self, weights, x):
        return super().forward(weights, x) * weights["weight"].square().sum().sqrt()


class StartsAtZero(Good):
    """Every restart starts at the same weights."""

    def start(self, normals):
        return {name: 0 * value for name, value in normals.items()}


class StartsAtAMillion(Good):
    """g(x; W, b) = xᵀW + b from weights of a million."""

    def start(self, normals):
        return {name: 1e6 * value for name, value in normals.items()}

    def forward(self, weights, x):
        return x @ weights["weight"] + weights["bias"]


class PowerOptions(BasisOptions):
    power: float = Field(2.0, ge=0, description="Exponent of |z|.")
    shift: float = Field(1.0, ge=0, description="Added to |z|.")


class Power(Good):
    """tanh(z) · (|z| + shift)^power, whose gradient at shift 0 is fine only for powers of 1 and more."""

    Options = PowerOptions

    def forward(self, weights, x):
        z = x @ weights["weight"] + weights["bias"]
        return z.tanh() * (z.abs() + self.options.shift) ** self.options.power / self.options.shift


class FormOptions(BasisOptions):
    form: str = Field("tanh", description="Name of the bend.", pattern="^(tanh|sin)$")
    knots: int = Field(3, ge=1, le=5, description="How many bends.")


class Knots(Good):
    """Divides by a number of knots less one."""

    Options = FormOptions

    def forward(self, weights, x):
        return super().forward(weights, x) / (x.new_tensor(float(self.options.knots)) - 1)


class ManyRows(Good):
    """Takes another way for many rows."""

    def forward(self, weights, x):
        return super().forward(weights, x) * (1.0 if len(x) <= 16 else 1.001)


class SingleConstant(Good):
    """Has a constant in single precision that nothing shows: torch gives the result in double precision."""

    def forward(self, weights, x):
        return super().forward(weights, x) * torch.tensor(0.1)


class SinglePart(Good):
    """Computes a part of itself in single precision."""

    def forward(self, weights, x):
        return super().forward(weights, x) + x.float().sum(-1, keepdim=True).to(x.dtype)


def rule_of(found: dict[str, str], words: str) -> str | None:
    """The rule whose message has these words."""
    return next((rule for rule, message in found.items() if words in message), None)


@pytest.mark.parametrize(
    ("plugin", "rules", "words"),
    [
        (DetachedInputs, {"gradients_are_derivatives"}, "the gradient by x is 0 along a direction"),
        (Rounded, {"gradients_are_derivatives"}, "the gradient by x is"),
        (WrongSlope, {"gradients_are_derivatives"}, "the gradient by weight bias is"),
        (KeepsTensors, {"repeats_itself"}, "tensors that `forward` left in the instance: last"),
        (NormOfWeights, {"gradients_are_finite"}, "weights of 0"),
        (StartsAtZero, {"start_is_of_use"}, "every restart would be the same"),
        (StartsAtAMillion, {"start_is_of_use"}, "at the start"),
        (Power, {"options_work_at_their_bounds"}, "with shift: 0"),
        (Knots, {"options_work_at_their_bounds"}, "with knots: 1"),
        (ManyRows, {"rows_do_not_mix"}, "among 64"),
        (SingleConstant, {"stays_in_double_precision", "works_on_any_device"}, "computes in single precision"),
        (SinglePart, {"stays_in_double_precision", "gradients_are_derivatives"}, "computes in single precision"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_that_once_passed_is_caught(monkeypatch, plugin, rules, words):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "basis_functions", plugin, EXAMPLES)
    assert rule_of(found, words) in rules, found
    assert set(found) <= rules, found
    assert all("to fix it:" in message for message in found.values())


def test_a_function_that_remembers_its_first_rows_is_caught(monkeypatch):
    monkeypatch.setattr(Remembers, "type", "remembers")
    found = messages(monkeypatch, "basis_functions", Remembers, EXAMPLES)
    assert "called with something else before" in found["repeats_itself"]


class Leaves(Good):
    """Ends the program."""

    def forward(self, weights, x):
        raise SystemExit("no licence for this machine")


def test_a_function_that_ends_the_program_ends_only_its_checks(monkeypatch):
    monkeypatch.setattr(Leaves, "type", "leaves")
    found = messages(monkeypatch, "basis_functions", Leaves, EXAMPLES)
    assert "it raised SystemExit: no licence for this machine" in found["output_has_shape_and_dtype"]
    assert len(found) > 5


class OnValues(Good):
    """Branches on a value."""

    def forward(self, weights, x):
        return super().forward(weights, x) if bool(weights["bias"].sum() > -1e9) else x


def test_texts_of_torch_are_told_in_words(monkeypatch):
    monkeypatch.setattr(OnValues, "type", "on_values")
    found = messages(monkeypatch, "basis_functions", OnValues, EXAMPLES)
    assert "the code branches on the value of a tensor" in found["members_equal_a_loop"]
    assert "use torch.where(condition, a, b)" in found["members_equal_a_loop"]


class OnceForward(torch.autograd.Function):
    """tanh whose derivative is forgotten to be squared; jvp and vmap have rules."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.tanh()

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(output)
        context.save_for_forward(output)

    @staticmethod
    def backward(context, slope):
        (output,) = context.saved_tensors
        return slope * (1 - output)

    @staticmethod
    def jvp(context, tangent):
        (output,) = context.saved_tensors
        return tangent * (1 - output)


class WrongDerivative(Good):
    """Has a derivative of its own that is wrong."""

    def forward(self, weights, x):
        return OnceForward.apply(x @ weights["weight"] + weights["bias"])


def test_a_wrong_first_derivative_is_not_told_of_as_curvature(monkeypatch):
    monkeypatch.setattr(WrongDerivative, "type", "wrong_derivative")
    found = messages(monkeypatch, "basis_functions", WrongDerivative, EXAMPLES)
    assert set(found) == {"gradients_are_derivatives"}, found


class DetachedF(Laplace):
    """Has no gradient in f for the first target."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, torch.cat([f[:, :1].detach(), f[:, 1:]], 1))


class KeepsFirst(Laplace):
    """Scales by the first f that an instance has seen."""

    def log_prob(self, parameters, y, f):
        if not hasattr(self, "first"):
            self.first = len(f)
        return super().log_prob(parameters, y, f) + 1e-6 * self.first


class Crowded(Laplace):
    """Takes another way for many rows."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f) - 1e-3 * (len(f) > 500)


class SingleLog(Laplace):
    """Has log 2 in single precision."""

    def log_prob(self, parameters, y, f):
        return super().log_prob(parameters, y, f) + 0.0 * torch.tensor(2.0).log()


@pytest.mark.parametrize(
    ("plugin", "rule"),
    [
        (DetachedF, "gradients_are_derivatives"),
        (KeepsFirst, "neither_calls_nor_numbers_of_rows_matter"),
        (Crowded, "neither_calls_nor_numbers_of_rows_matter"),
        (SingleLog, "stays_in_double_precision"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_likelihood_that_once_passed_is_caught(monkeypatch, plugin, rule):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "likelihoods", plugin, [LikelihoodExample({}, 2)])
    assert rule in found, found


Elbo: Any = registry().get("evidence_estimators", "elbo")


def off_by(nats: float, share: float) -> type[EvidenceEstimator]:
    """The bound with so many nats more and a share of its standard error."""

    class Off(EvidenceEstimator):
        """Is off."""

        type = "off"

        @staticmethod
        def estimate(options, trained, samples):
            found = Elbo.estimate(options, trained, samples)
            return Estimate(found.value + nats, found.standard_error * share)

    return Off


@pytest.mark.parametrize(
    ("nats", "share", "rule"),
    [
        (1.0, 1.0, "value_is_the_evidence"),
        (-1.0, 1.0, "value_is_the_evidence"),
        (0.0, 0.1, "errors_are_the_spread_of_values"),
        (0.0, 10.0, "errors_are_the_spread_of_values"),
    ],
)
def test_an_estimator_that_is_off_by_a_nat_or_unsure_of_its_error_is_caught(monkeypatch, nats, share, rule):
    found = messages(monkeypatch, "evidence_estimators", off_by(nats, share), None)
    assert set(found) - {"survives_pickle"} == {rule}, found


def test_a_loose_estimator_may_be_below_the_evidence_but_not_above(monkeypatch):
    for nats, rules in ((-0.9, set()), (0.9, {"value_is_the_evidence"})):
        plugin = off_by(nats, 1.0)
        monkeypatch.setattr(plugin, "loose", True)
        found = messages(monkeypatch, "evidence_estimators", plugin, None)
        assert set(found) - {"survives_pickle"} == rules, found


Hoag: Any = registry().get("hypergradients", "hoag")


class Normalised(Hoag):
    """Divides by the norm of ∇Q."""

    @staticmethod
    def gradient(options, point):
        found, of_q = Hoag.gradient(options, point), point.outer_gradient()
        return OuterGradient(found.gradient / point.spread(point.dot(of_q, of_q).sqrt()), found.report)


def test_a_hypergradient_that_is_lost_at_rest_is_caught(monkeypatch):
    monkeypatch.setattr(Normalised, "type", "normalised")
    assert "nothing_is_lost_at_rest" in messages(monkeypatch, "hypergradients", Normalised, None)


Gumbel: Any = registry().get("structure_distributions", "gumbel_softmax")


class FrozenTemperature(Gumbel):
    """Has a density whose gradient by the temperature is lost."""

    @staticmethod
    def log_prob(space, log_concentration, temperature, coordinates):
        return Gumbel.log_prob(space, log_concentration, temperature.detach(), coordinates)


class LikelyVertices(Gumbel):
    """Counts the vertices twice."""

    @classmethod
    def vertex_log_prob(cls, space, log_concentration, chosen):
        return Gumbel.vertex_log_prob(space, log_concentration, chosen) + np.log(2.0)


class SingleNoise(Gumbel):
    """Adds a tiny number in single precision."""

    @staticmethod
    def sample(space, log_concentration, temperature, uniform):
        return Gumbel.sample(space, log_concentration, temperature, uniform) + torch.tensor(0.0)


@pytest.mark.parametrize(
    ("plugin", "rule"),
    [
        (FrozenTemperature, "gradients_are_derivatives"),
        (LikelyVertices, "vertices_have_the_probabilities_of_rounding"),
        (SingleNoise, "stays_in_double_precision"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_structure_distribution_that_once_passed_is_caught(monkeypatch, plugin, rule):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "structure_distributions", plugin, None)) == {rule}


ROWS = np.arange(12.0).reshape(6, 2)


class Chunks(ChunkedTable):
    """Six rows in two chunks."""

    chunk_rows = np.array([4, 2])
    row_numbers = 3
    fingerprint = "six"

    def read(self, chunk):
        rows = slice(0, 4) if chunk == 0 else slice(4, 6)
        return Table(ROWS[rows], ROWS[rows, :1], ("a", "b"), ("y",))


class Source(DataSource):
    """Six rows, whole or in chunks."""

    type = "six"
    Options = StreamOptions

    @staticmethod
    def read(options, base):
        return Table(ROWS, ROWS[:, :1], ("a", "b"), ("y",))

    @staticmethod
    def chunks(options, base):
        return Chunks()


class OtherOrder(Source):
    """Reads the chunks in reverse."""

    @staticmethod
    def chunks(options, base):
        return type("Reversed", (Chunks,), {"read": lambda self, chunk: replace(Chunks.read(self, 1 - chunk))})()


class OtherInputs(Source):
    """Reads new tables on another scale."""

    @classmethod
    def read_inputs(cls, options, base, names):
        return InputTable(ROWS / 2, ("a", "b"))


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Source, set()),
        (OtherOrder, {"chunks_are_the_table"}),
        (OtherInputs, {"inputs_are_those_of_the_table"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_source_that_reads_otherwise_by_another_way_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "data_sources", plugin, [DataSourceExample({}, Path())])
    assert set(found) == rules, found
