"""Options at their bounds: what a spec may say has to work, even where nobody tried it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..plugins import KINDS
from .subject import Subject

LARGEST = 12
"""Whole numbers up to which a bound is tried: a degree of a million takes its time."""

MOST = 16
"""Values of all options that are tried at most."""

BESIDE = 1e-3
"""How far from an open bound a value is tried."""


def at_bounds(subject: Subject) -> Iterator[tuple[str, Any]]:
    """The options of the example with one of them at a bound, or at another of its words; and that in words.

    Values that the options themselves refuse, in a validator, are left out.
    """
    tried = 0
    inherited = KINDS[subject.registration.kind].Options.model_fields
    for name, field in subject.plugin.Options.model_fields.items():
        if name in inherited:
            continue
        for value in bounds_of(field):
            if value == getattr(subject.options, name) or tried == MOST:
                continue
            try:
                options = subject.registration.options.model_validate({**subject.document, field.alias or name: value})
            except ValidationError:
                continue
            tried += 1
            yield f"{name}: {value}", options


def bounds_of(field: FieldInfo) -> list[Any]:
    """Values at the bounds of a field, or all of its words."""
    kinds = (field.annotation, *get_args(field.annotation))
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if words:
        return words
    if bool in kinds:
        return [True, False]
    whole = int in kinds and float not in kinds
    if not whole and float not in kinds:
        return []
    found: list[Any] = []
    for rule in field.metadata:
        if isinstance(rule, Ge | Le):
            value: Any = rule.ge if isinstance(rule, Ge) else rule.le
        elif isinstance(rule, Gt | Lt):
            bound: Any = rule.gt if isinstance(rule, Gt) else rule.lt
            sign = 1 if isinstance(rule, Gt) else -1
            value = bound + sign if whole else bound + sign * BESIDE * max(1.0, abs(bound))
        else:
            continue
        if not whole or abs(value) <= LARGEST:
            found.append(value)
    return found
