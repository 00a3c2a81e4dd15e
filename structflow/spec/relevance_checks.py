"""Checks of the section `relevance` against the rest of the spec."""

from __future__ import annotations

from ..errors import Problem
from ..plugins.calling import conflicts_of
from ..plugins.registry import registry
from .criterion_calls import posterior_of
from .models import Spec


def repeated_criteria(spec: Spec) -> list[Problem]:
    """A problem for every criterion of relevance that is listed before: its curve is named by its type."""
    types = criterion_types(spec)
    return [
        Problem(f"relevance.criteria[{index}]", f"{name!r} is listed before", "list every criterion once")
        for index, name in enumerate(types)
        if name in types[:index]
    ]


def criterion_problems(spec: Spec) -> list[Problem]:
    """What criteria of relevance lack, in the posterior that the spec's criterion trains."""
    seen = spec.model_copy(update={"posterior": posterior_of(spec)})
    problems: list[Problem] = []
    for name in criterion_types(spec):
        problems += conflicts_of(registry().get("relevances", name), seen)
    return problems


def criterion_types(spec: Spec) -> list[str]:
    """The criteria that curves are asked for, by the words of the spec."""
    return [] if spec.relevance is None else [options.type for options in spec.relevance.criteria]
