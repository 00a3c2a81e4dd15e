"""What an estimator of log evidence promises of its standard error: it is the spread of its values."""

from __future__ import annotations

from functools import cache

import torch

from .check import Rule, expect, rule
from .evidence_value import SampledSlope, at_the_posterior, one_weight
from .numbers import DOUBLE, Weights
from .subject import Subject
from .tiny_model import TinyModel

MEMBERS = 40
"""Members that differ in their noise alone: their values spread as those of one member would from run to run."""

PRECISION = 2.0
"""A of every member."""

WIDER = 0.4
"""Added to log sd of the posterior: q isn't the posterior, so that samples have values that differ."""

SAMPLES = 32

LARGEST_FACTOR = 3.0
"""Between the spread and the error: of 40 values a spread is known to about 11 %, and errors are estimates too."""

EXACT = 1e-9
"""Relative spread that rounding may make where nothing is sampled."""


@cache
def model() -> TinyModel:
    """Members of one structure with one sampled weight."""
    return one_weight(SampledSlope, [PRECISION] * MEMBERS)


@cache
def parameters() -> Weights:
    """Those of q with a wider spread than the posterior."""
    exact = at_the_posterior(model(), torch.full((MEMBERS,), PRECISION, dtype=DOUBLE))
    return {name: value + WIDER if name.startswith("log_sd") else value for name, value in exact.items()}


@rule(
    "return the standard error of the value itself, such as values.std(1) / sqrt(samples); where it isn't known, "
    "return NaN for it"
)
def errors_are_the_spread_of_values(subject: Subject) -> None:
    """Of members that differ in their noise alone, values spread by the standard error, up to a factor of 3."""
    found = subject.plugin.estimate(subject.options, model().evaluated(parameters()), SAMPLES)
    known = found.value.isfinite() & found.standard_error.isfinite()
    if int(known.sum()) < MEMBERS // 2 or bool((found.standard_error < 0).any()):  # negative ones break another rule
        return
    values, errors = found.value[known], found.standard_error[known]
    spread, error = float(values.std()), float(errors.square().mean().sqrt())
    exact = EXACT * max(1.0, float(values.abs().max()))
    shown = f"values with a spread of {spread:.3g} and standard errors of {error:.3g}"
    expect(spread <= LARGEST_FACTOR * error + exact, shown)
    expect(error <= LARGEST_FACTOR * spread + exact, shown)


RULES: tuple[Rule[Subject], ...] = (errors_are_the_spread_of_values,)
