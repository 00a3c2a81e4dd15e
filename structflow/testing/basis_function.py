"""The checks of a basis function, and the shapes that are tried without an example."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeMismatch
from ..plugins.registry import Registration
from . import basis_derivatives, basis_linear, basis_members, basis_shapes, basis_values, compiled, training
from .basis_subject import BasisSubject
from .check import Check, Rule, checks_of
from .common import RULES_OF_OPTIONS
from .examples import BasisExample

USUAL_SHAPES = (
    ((3,), (2,)),
    ((3,), (3,)),
    ((1,), (1,)),
    ((2, 3), (2, 3)),
    ((6, 2), (3,)),
    ((6, 2), (6, 3)),
    ((1, 8, 8), (2, 8, 8)),
    ((1, 8, 8), (2, 6, 6)),
    ((1, 8, 8), (4,)),
)
"""Vectors, series (length × channels) and images (channels × height × width)."""

MOST_EXAMPLES = 3

RULES: tuple[Rule[Any], ...] = (
    *RULES_OF_OPTIONS,
    *basis_shapes.RULES,
    *basis_values.RULES,
    *basis_derivatives.RULES,
    *basis_members.RULES,
    *basis_linear.RULES,
    *training.BASIS_RULES,
    *compiled.ALONE,
)


def usual_examples(registration: Registration) -> list[BasisExample]:
    """Default options between the first of the usual shapes that the function takes."""
    options = registration.options.model_validate({"type": registration.type})
    fitting = []
    for in_shape, out_shape in USUAL_SHAPES:
        try:
            registration.plugin.weight_shapes(options, in_shape, out_shape)
        except ShapeMismatch:
            continue
        fitting.append(BasisExample({}, in_shape, out_shape))
    return fitting[:MOST_EXAMPLES]


def checks(subject: BasisSubject) -> list[Check]:
    """The checks of one example."""
    return checks_of(subject.prefix, subject.about, subject, RULES)
