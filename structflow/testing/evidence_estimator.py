"""What an estimator of log evidence promises of trained members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch

from ..evidence.trained import TrainedPopulation
from ..objective.parameters import Parameters
from ..plugins import Estimate
from ..spec.graph import GraphFunction
from .check import expect, remedy
from .evidence_value import EvidenceValueTests
from .numbers import DOUBLE, copies, expect_close, expect_finite, expect_shape, normal
from .plugin_tests import PluginTests
from .subject import Subject
from .tiny_model import Bend, Readout, TinyModel, candidate, chain, tiny_model

SAMPLES = 16
RESTARTS = (0, 1, 2)
BATCH_MATES = 1e-8
"""Relative influence of other members, by the rounding of sums of other lengths."""


LINEAR, BENT = candidate("linear", Readout), candidate("bent", Bend)


def linear_or_bent(
    restarts: Sequence[int], relaxed: bool, functions: Sequence[GraphFunction] = (LINEAR, BENT)
) -> TinyModel:
    """Twelve rows, two inputs, one hidden unit that is linear or bent, normal noise."""
    x = normal(12, 2, seed=21)
    return tiny_model(
        chain(functions, [(2,), (1,), (1,)]), x, x[:, :1].tanh() + 0.3 * normal(12, 1, seed=22), None, restarts, relaxed
    )


@cache
def parameters_of(relaxed: bool) -> Parameters:
    """The model's parameters after a few steps."""
    return linear_or_bent(RESTARTS, relaxed).trained().parameters


@cache
def parameters_of_bent() -> Parameters:
    """Those of members of one structure."""
    return linear_or_bent(RESTARTS, False, [BENT]).trained().parameters


def rows_of(parameters: Parameters, members: slice) -> Parameters:
    """Those of some members, each of which has every function."""
    return parameters.map(lambda value: value[members])


def populations(subject: Subject) -> Iterator[tuple[str, TrainedPopulation]]:
    """Discrete members, and relaxed ones where the estimator doesn't ask for vectors of weights."""
    for relaxed in (False,) if subject.plugin.of_weights else (False, True):
        name = "relaxed members" if relaxed else "discrete members"
        yield name, linear_or_bent(RESTARTS, relaxed).evaluated(parameters_of(relaxed))


def estimate(subject: Subject, trained: TrainedPopulation) -> Estimate:
    """What the estimator says."""
    found: Estimate = subject.plugin.estimate(subject.options, trained, SAMPLES)
    return found


class EvidenceEstimatorTests(EvidenceValueTests, PluginTests):
    """Tests of one estimator of log evidence."""

    kind = "evidence_estimators"

    @remedy(
        "return Estimate(value, standard_error), both (members,) in float64; the error is 0 where nothing is sampled, "
        "and NaN with a reason in `unsure` where it isn't known"
    )
    def test_estimates_every_member(self, subject: Subject) -> None:
        """Value and standard error are (members,) in float64; the error isn't negative, NaN only with a reason."""
        for name, trained in populations(subject):
            found = estimate(subject, trained)
            for what, value in (("value", found.value), ("standard_error", found.standard_error)):
                expect_shape(value, (trained.size,), f"{what} of {name}")
                expect(value.dtype == DOUBLE, f"{what} of {name} in {value.dtype}")
            known = found.value.isfinite()
            unsure = [number for number, nan in enumerate((found.standard_error.isnan() & known).tolist()) if nan]
            expect(
                sorted(found.unsure) == unsure,
                f"standard errors {found.standard_error.tolist()} of {name}, unsure {found.unsure}",
            )
            errors = found.standard_error[known & ~found.standard_error.isnan()]
            expect_finite(errors, f"standard_error of {name}")
            expect(bool((errors >= 0).all()), f"negative errors of {name}: {errors.tolist()}")

    @remedy("give NaN to members that the method doesn't fit, and say why in Estimate(..., missing={number: reason})")
    def test_missing_values_have_reasons(self, subject: Subject) -> None:
        """Values are finite, but for members whose NaN has a reason in `missing`, and only theirs."""
        for name, trained in populations(subject):
            found = estimate(subject, trained)
            unknown = [number for number, known in enumerate(found.value.isfinite().tolist()) if not known]
            expect(
                sorted(found.missing) == unknown, f"values {found.value.tolist()} of {name}, missing {found.missing}"
            )
            expect(not bool(found.value.isinf().any()), f"values {found.value.tolist()} of {name}")
            said = all(isinstance(reason, str) and reason.strip() for reason in found.missing.values())
            expect(said, f"reasons {found.missing} of {name}")

    @remedy("draw noise by `trained.sample_terms` or `trained.weights`, where it is keyed by member; no torch.randn")
    def test_repeats_itself(self, subject: Subject) -> None:
        """The same members give the same estimate, and their parameters stay as they are."""
        for name, trained in populations(subject):
            before = copies(trained.bound.labelled(trained.parameters))
            first, again = estimate(subject, trained), estimate(subject, trained)
            known = first.value.isfinite()
            expect(
                bool((again.value.isfinite() == known).all()), f"{again.value.tolist()} after {first.value.tolist()}"
            )
            expect_close(again.value[known], first.value[known], f"the second value of {name}", 0.0)
            errors = again.standard_error[known].nan_to_num(-1.0), first.standard_error[known].nan_to_num(-1.0)
            expect_close(*errors, f"the second standard error of {name}", 0.0)
            now = trained.bound.labelled(trained.parameters)
            for key, value in before.items():
                expect_close(now[key], value, f"after the estimate of {name}, parameter {key}", 0.0)

    @remedy("compute every member from its own parameters and noise: nothing is averaged or normalised over members")
    def test_members_do_not_mix(self, subject: Subject) -> None:
        """A member's estimate doesn't depend on the members beside it."""
        relaxed = not subject.plugin.of_weights
        functions = (LINEAR, BENT) if relaxed else (BENT,)
        parameters = parameters_of(True) if relaxed else parameters_of_bent()
        whole = estimate(subject, linear_or_bent(RESTARTS, relaxed, functions).evaluated(parameters))
        for place, restart in enumerate(RESTARTS):
            model = linear_or_bent([restart], relaxed, functions)
            alone = estimate(subject, model.evaluated(rows_of(parameters, slice(place, place + 1))))
            if not bool(alone.value.isfinite()):
                expect(place in whole.missing, f"a value for member {place} among others, none alone")
                continue
            expect_close(alone.value, whole.value[place : place + 1], f"the value of member {place} alone", BATCH_MATES)
            errors = alone.standard_error.nan_to_num(-1.0), whole.standard_error[place : place + 1].nan_to_num(-1.0)
            expect_close(*errors, f"the standard error of member {place} alone", BATCH_MATES)

    @remedy("open no context that outlives the call: torch.no_grad() as `with`, not set_grad_enabled")
    def test_leaves_torch_as_it_was(self, subject: Subject) -> None:
        """Gradients are switched on after an estimate if they were before."""
        with torch.enable_grad():
            estimate(subject, next(populations(subject))[1])
            expect(torch.is_grad_enabled(), "gradients switched off after the estimate")
