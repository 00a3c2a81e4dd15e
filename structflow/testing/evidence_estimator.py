"""What an estimator of log evidence promises of trained members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch

from ..evidence.trained import TrainedPopulation
from ..plugins import Estimate
from . import evidence_value
from .check import Check, Rule, checks_of, expect, rule
from .common import RULES_OF_OPTIONS
from .numbers import DOUBLE, Weights, expect_close, expect_finite, expect_shape, normal
from .subject import Subject
from .tiny_model import Bend, Readout, TinyModel, candidate, chain, tiny_model

SAMPLES = 16
RESTARTS = (0, 1, 2)
BATCH_MATES = 1e-8
"""Relative influence of other members, by the rounding of sums of other lengths."""


def linear_or_bent(restarts: Sequence[int], relaxed: bool) -> TinyModel:
    """Twelve rows, two inputs, one hidden unit that is linear or bent, normal noise."""
    functions = [candidate("linear", Readout), candidate("bent", Bend)]
    x = normal(12, 2, seed=21)
    return tiny_model(
        chain(functions, [(2,), (1,), (1,)]), x, x[:, :1].tanh() + 0.3 * normal(12, 1, seed=22), None, restarts, relaxed
    )


@cache
def parameters_of(relaxed: bool) -> Weights:
    """The model's parameters after a few steps."""
    return linear_or_bent(RESTARTS, relaxed).trained().parameters


def populations() -> Iterator[tuple[str, TrainedPopulation]]:
    """Discrete members and relaxed ones."""
    for relaxed in (False, True):
        name = "relaxed members" if relaxed else "discrete members"
        yield name, linear_or_bent(RESTARTS, relaxed).evaluated(parameters_of(relaxed))


def estimate(subject: Subject, trained: TrainedPopulation) -> Estimate:
    """What the estimator says."""
    found: Estimate = subject.plugin.estimate(subject.options, trained, SAMPLES)
    return found


@rule("return Estimate(value, standard_error), both (members,) in float64; the error is 0 where nothing is sampled")
def estimates_every_member(subject: Subject) -> None:
    """Value and standard error are (members,) in float64 and finite, the error is not negative."""
    for name, trained in populations():
        found = estimate(subject, trained)
        for what, value in (("value", found.value), ("standard_error", found.standard_error)):
            expect_shape(value, (trained.size,), f"{what} of {name}")
            expect(value.dtype == DOUBLE, f"{what} of {name} in {value.dtype}")
            expect_finite(value, f"{what} of {name}")
        expect(bool((found.standard_error >= 0).all()), f"negative errors of {name}: {found.standard_error.tolist()}")


@rule("draw noise through the population (sample_terms, structure_samples), which is keyed by member; no torch.randn")
def repeats_itself(subject: Subject) -> None:
    """The same members give the same estimate, and their parameters stay as they are."""
    for name, trained in populations():
        before = {key: value.clone() for key, value in trained.parameters.items()}
        first, again = estimate(subject, trained), estimate(subject, trained)
        expect_close(again.value, first.value, f"the second value of {name}", 0.0)
        expect_close(again.standard_error, first.standard_error, f"the second standard error of {name}", 0.0)
        for key, value in before.items():
            expect_close(trained.parameters[key], value, f"after the estimate of {name}, parameter {key}", 0.0)


@rule("compute every member from its own parameters and noise: nothing is averaged or normalised over members")
def members_do_not_mix(subject: Subject) -> None:
    """A relaxed member's estimate doesn't depend on the members beside it."""
    together = linear_or_bent(RESTARTS, relaxed=True)
    whole = estimate(subject, together.evaluated(parameters_of(True)))
    for place, restart in enumerate(RESTARTS):
        own = {name: value[place : place + 1] for name, value in parameters_of(True).items()}
        alone = estimate(subject, linear_or_bent([restart], relaxed=True).evaluated(own))
        expect_close(alone.value, whole.value[place : place + 1], f"the value of member {place} alone", BATCH_MATES)
        errors = alone.standard_error, whole.standard_error[place : place + 1]
        expect_close(*errors, f"the standard error of member {place} alone", BATCH_MATES)


@rule("open no context that outlives the call: torch.no_grad() as `with`, not set_grad_enabled")
def leaves_torch_as_it_was(subject: Subject) -> None:
    """Gradients are switched on after an estimate if they were before."""
    with torch.enable_grad():
        estimate(subject, next(populations())[1])
        expect(torch.is_grad_enabled(), "gradients switched off after the estimate")


RULES: tuple[Rule[Subject], ...] = (
    estimates_every_member,
    repeats_itself,
    members_do_not_mix,
    leaves_torch_as_it_was,
)


def checks(subject: Subject) -> list[Check]:
    """The checks of one example."""
    return checks_of(subject.prefix, subject.about, subject, (*RULES_OF_OPTIONS, *RULES, *evidence_value.RULES))
