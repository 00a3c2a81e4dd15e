"""Estimates of log evidence where the code of an estimator may raise: only that estimator's value is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import CallError, FunctionError, PluginError
from ..evidence.estimates import Estimated, Estimator
from ..evidence.trained import TrainedPopulation
from .failing_starts import may_be_of_a_member
from .failures import LONGEST_REASON

Part = Callable[[Sequence[int]], TrainedPopulation]
"""Some members of a population by their numbers, as a population."""


@dataclass(frozen=True)
class EstimatedApart:
    """What an estimator found, and the errors that its code raised for members, by their numbers."""

    found: Estimated
    raised: Mapping[int, str] = field(default_factory=dict)


def estimate_apart(estimator: Estimator, part: Part, numbers: Sequence[int]) -> EstimatedApart:
    """The estimates of the members with these numbers, in that order.

    Where the estimator raises, halves of the members are tried, and halves of those; one for which it raises alone has
    no value, and `missing` says what was raised. A `CallError` is how an estimator refuses a member, and is only a
    reason. Errors of the machine go on to the caller.
    """
    try:
        return EstimatedApart(estimator.of(part(numbers)))
    except Exception as error:
        refused = isinstance(error, CallError)
        of_the_estimator = isinstance(error, PluginError) and not isinstance(error, FunctionError)
        if not (refused or of_the_estimator or may_be_of_a_member(error)):
            raise
        if len(numbers) == 1:
            text = " ".join(str(error).split())[:LONGEST_REASON]
            unknown = np.full(1, np.nan)
            reason = text if refused else f"its code failed: {text}"
            return EstimatedApart(Estimated(unknown, unknown, {0: reason}), {} if refused else {0: text})
    middle = len(numbers) // 2
    return together([estimate_apart(estimator, part, half) for half in (numbers[:middle], numbers[middle:])])


def together(parts: Sequence[EstimatedApart]) -> EstimatedApart:
    """The members of all parts, one after the other."""
    begins = np.cumsum([0, *(len(each.found.value) for each in parts)])[:-1].tolist()

    def shifted(reasons: Sequence[Mapping[int, str]]) -> dict[int, str]:
        return {
            begin + number: reason
            for begin, each in zip(begins, reasons, strict=True)
            for number, reason in each.items()
        }

    return EstimatedApart(
        Estimated(
            np.concatenate([each.found.value for each in parts]),
            np.concatenate([each.found.standard_error for each in parts]),
            shifted([each.found.missing for each in parts]),
            shifted([each.found.unsure for each in parts]),
        ),
        shifted([each.raised for each in parts]),
    )
