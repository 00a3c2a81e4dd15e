"""The checks of a likelihood, and the targets that are tried without an example."""

from __future__ import annotations

from typing import Any

from ..plugins.registry import Registration
from . import (
    compiled,
    likelihood_density,
    likelihood_draws,
    likelihood_expectation,
    likelihood_numbers,
    likelihood_values,
    training,
)
from .check import Check, Rule, checks_of
from .common import RULES_OF_OPTIONS
from .examples import LikelihoodExample
from .likelihood_subject import LikelihoodSubject

USUAL_CLASSES = 3
USUAL_TARGETS = 2

RULES: tuple[Rule[Any], ...] = (
    *RULES_OF_OPTIONS,
    *likelihood_values.RULES,
    *likelihood_numbers.RULES,
    *likelihood_density.RULES,
    *likelihood_draws.RULES,
    *likelihood_expectation.RULES,
    *training.LIKELIHOOD_RULES,
    *compiled.ALONE,
)


def usual_examples(registration: Registration) -> list[LikelihoodExample]:
    """Default options over three classes, or over two targets."""
    if registration.plugin.target == "classes":
        return [LikelihoodExample({}, 1, USUAL_CLASSES)]
    return [LikelihoodExample({}, USUAL_TARGETS, 2 if registration.plugin.target == "binary" else 0)]


def checks(subject: LikelihoodSubject) -> list[Check]:
    """The checks of one example."""
    return checks_of(subject.prefix, subject.about, subject, RULES)
