"""What an estimator of log evidence promises of its value, where the posterior is known, and of its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..objective.parameters import Parameters
from ..plugins import Shape
from ..spec.graph import Graph, GraphEdge
from .check import expect, remedy
from .numbers import DOUBLE, Weights, normal
from .subject import Subject
from .tiny_model import Readout, TinyModel, candidate, tiny_model

ROWS = 12
SAMPLES = 16
NOISE = 0.5
"""σ, that of the tiny model."""

WEIGHT = 3.0
"""Of the rows: far from the prior's 0, so that log p(y | w) exceeds the evidence by more than 3 nats."""

PRECISIONS = (1.0, 4.0)
"""A of the two members."""

ALLOWED, ALLOWED_LOOSE = 0.02, 1.0
"""Nats by which an estimator may be off where q is the posterior, beside five standard errors; one that is `loose`."""

STANDARD_ERRORS = 5.0

UNKNOWN_ERROR = 1.0
"""Nats that stand for a standard error that isn't known."""


class Slope(Readout):
    """g(x; w) = w x, a single weight, which is integrated out."""

    type = "slope"

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Shape, out_shape: Shape) -> dict[str, Shape]:
        """w alone."""
        return {"weight": (math.prod(in_shape), math.prod(out_shape))}

    def forward(self, weights: Weights, x: Tensor) -> Tensor:
        """w x."""
        return (x.flatten(1) @ weights["weight"]).reshape(x.shape[0], *self.out_shape)


class SampledSlope(Slope):
    """The same without saying that it is linear, so that its weight is sampled."""

    type = "sampled_slope"
    linear_in_weights = False


def one_weight(plugin: type[Slope], precisions: Sequence[float] = PRECISIONS) -> TinyModel:
    """Members of one structure, one for each precision of the prior, on twelve rows of y = 3 x with noise."""
    x = normal(ROWS, 1, seed=21)
    y = WEIGHT * x + NOISE * normal(ROWS, 1, seed=22)
    edge = GraphEdge("x", "y", "all", 0, (candidate(plugin.type, plugin),))
    return tiny_model(Graph(("x", "y"), {"x": ((1,),), "y": ((1,),)}, (edge,)), x, y, None, range(len(precisions)))


def posterior(model: TinyModel, precisions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean μ = Σ x y / (σ² P) and precision P = A + Σ x² / σ² of w for every member, (M,) each."""
    precision = precisions + model.x.square().sum() / NOISE**2
    return (model.x * model.y).sum() / NOISE**2 / precision, precision


def log_evidence(model: TinyModel, precisions: Tensor) -> Tensor:
    """log N(y; 0, σ² I + x xᵀ / A) of every member, (M,)."""
    covariance = NOISE**2 * torch.eye(ROWS, dtype=DOUBLE) + model.x @ model.x.T / precisions.reshape(-1, 1, 1)
    normals = torch.distributions.MultivariateNormal(torch.zeros(ROWS, dtype=DOUBLE), covariance)
    found: Tensor = normals.log_prob(model.y[:, 0])
    return found


def at_the_posterior(model: TinyModel, precisions: Tensor) -> Parameters:
    """Parameters with which q(w) is the posterior under these precisions of the prior."""
    mean, precision = posterior(model, precisions)
    exact = {"mean": mean.reshape(-1, 1), "log_sd": -0.5 * precision.log().reshape(-1, 1)}
    parameters = model.bound.weights.changed(model.started(), lambda factor, own: exact)
    return model.bound.of_labels({**model.bound.labelled(parameters), "log_precision": precisions.log()})


MEMBERS = 40
"""Members that differ in their noise alone: their values spread as those of one member would from run to run."""

PRECISION = 2.0
"""A of every member."""

WIDER = 0.4
"""Added to log sd of the posterior: q isn't the posterior, so that samples have values that differ."""

SAMPLES_OF_MANY = 32

LARGEST_FACTOR = 3.0
"""Between the spread and the error: of 40 values a spread is known to about 11 %, and errors are estimates too."""

EXACT = 1e-9
"""Relative spread that rounding may make where nothing is sampled."""


@cache
def model() -> TinyModel:
    """Members of one structure with one sampled weight."""
    return one_weight(SampledSlope, [PRECISION] * MEMBERS)


@cache
def parameters() -> Parameters:
    """Those of q with a wider spread than the posterior."""
    exact = at_the_posterior(model(), torch.full((MEMBERS,), PRECISION, dtype=DOUBLE))
    return model().bound.weights.changed(exact, lambda factor, own: {**own, "log_sd": own["log_sd"] + WIDER})


class EvidenceValueTests:
    """Values are the evidence where it is known."""

    @remedy(
        "return log p(y | X, h) in nats, constants and KL included: of bound, log_likelihood, kl_weights and "
        "kl_structure from sample_terms, bound is the sum with the right signs; one that is off even there is `loose`"
    )
    def test_value_is_the_evidence(self, subject: Subject) -> None:
        """Where q is the posterior of the only weight, the value is log p(y) to 0.02 nats and 5 errors.

        One that is `loose` may be a nat below it.
        """
        precisions = torch.tensor(PRECISIONS, dtype=DOUBLE)
        for plugin, name in ((Slope, "integrated out"), (SampledSlope, "sampled")):
            model = one_weight(plugin)
            trained = model.evaluated(at_the_posterior(model, precisions))
            found = subject.plugin.estimate(subject.options, trained, SAMPLES)
            exact = log_evidence(model, precisions)
            errors = STANDARD_ERRORS * found.standard_error.clamp(min=0).nan_to_num(UNKNOWN_ERROR)
            below = ALLOWED_LOOSE if subject.plugin.loose else ALLOWED
            shown = f"{found.value.tolist()} ± {found.standard_error.tolist()} for log p(y) = {exact.tolist()}"
            fits = (found.value >= exact - below - errors) & (found.value <= exact + ALLOWED + errors)
            expect(bool(fits.all()), f"{shown}, with a weight {name}")

    @remedy(
        "return the standard error of the value itself, such as values.std(1) / sqrt(samples); where it isn't known, "
        "return NaN for it"
    )
    def test_errors_are_the_spread_of_values(self, subject: Subject) -> None:
        """Of members that differ in their noise alone, values spread by the standard error, up to a factor of 3."""
        found = subject.plugin.estimate(subject.options, model().evaluated(parameters()), SAMPLES_OF_MANY)
        known = found.value.isfinite() & found.standard_error.isfinite()
        if int(known.sum()) < MEMBERS // 2 or bool(
            (found.standard_error < 0).any()
        ):  # negative ones break another rule
            return
        values, errors = found.value[known], found.standard_error[known]
        spread, error = float(values.std()), float(errors.square().mean().sqrt())
        exact = EXACT * max(1.0, float(values.abs().max()))
        shown = f"values with a spread of {spread:.3g} and standard errors of {error:.3g}"
        expect(spread <= LARGEST_FACTOR * error + exact, shown)
        expect(error <= LARGEST_FACTOR * spread + exact, shown)
