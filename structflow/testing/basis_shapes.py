"""What a basis function promises on plain tuples: shapes of weights, refusals, its label."""

from __future__ import annotations

from contextlib import suppress

from ..errors import ShapeMismatch
from ..plugins import Shape
from .basis_subject import BasisSubject
from .check import Complaint, expect, remedy

ODD_SHAPES = ((1,), (2,), (7,), (2, 3), (1, 8, 8), (5, 1), (1, 1, 1), (2, 2, 2, 2))
"""Shapes that nodes can have; hardly a function can map each of them to each."""

LONGEST_LABEL = 64

ROWS = 3


def shape_of_value(subject: BasisSubject, source: Shape, target: Shape) -> Shape:
    """The shape of g for three rows, found on the device that computes shapes alone; raises what `forward` raises."""
    import torch

    shapes = subject.plugin.weight_shapes(subject.options, source, target)
    weights = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    function = subject.plugin(subject.options, source, target)
    return tuple(function.forward(weights, torch.zeros(ROWS, *source, device="meta")).shape)


def works_as_given(subject: BasisSubject) -> bool:
    """Whether it can be asked for shapes at all; what it does wrong between its own shapes, other rules tell."""
    with suppress(Exception):
        return shape_of_value(subject, subject.in_shape, subject.out_shape) == (ROWS, *subject.out_shape)
    return False


class BasisShapeTests:
    """Weights have shapes, other shapes are refused, and there is a label."""

    @remedy("return a dictionary of tuples of ints ≥ 1, made of the arguments alone; leave out weights without numbers")
    def test_weight_shapes_are_shapes(self, subject: BasisSubject) -> None:
        """`weight_shapes` gives tuples of whole numbers ≥ 1 by name, the same at every call with the same arguments."""
        found = subject.plugin.weight_shapes(subject.options, subject.in_shape, subject.out_shape)
        expect(isinstance(found, dict), f"weight_shapes returned {type(found).__name__}: {found!r}")
        for name, shape in found.items():
            whole = isinstance(shape, tuple) and all(type(size) is int and size >= 1 for size in shape)
            expect(isinstance(name, str) and whole, f"{name!r}: {shape!r}")
        _ = subject.plugin(subject.options, subject.in_shape, subject.out_shape)
        for source in ODD_SHAPES:  # calls in between must leave no trace
            with suppress(Exception):  # the next rule is about errors
                subject.plugin.weight_shapes(subject.options, source, source)
        again = subject.plugin.weight_shapes(subject.options, subject.in_shape, subject.out_shape)
        expect(list(again.items()) == list(found.items()), f"{found} at first and {again} later")

    @remedy(
        "raise structflow.errors.ShapeMismatch in `weight_shapes` for every pair of shapes that the function can't "
        "map, with both shapes in the message"
    )
    def test_other_shapes_are_refused(self, subject: BasisSubject) -> None:
        """Shapes that don't fit raise `ShapeMismatch` with a message and no other error; those that are taken work."""
        can_be_tried = works_as_given(subject)
        for source in ODD_SHAPES:
            for target in ODD_SHAPES:
                try:
                    found = subject.plugin.weight_shapes(subject.options, source, target)
                except ShapeMismatch as error:
                    expect(bool(str(error)), f"ShapeMismatch without a message for {source} to {target}")
                    continue
                except Exception as error:
                    expect(False, f"{type(error).__name__}: {error} for {source} to {target}")
                sizes = [size for shape in found.values() for size in shape]
                expect(all(type(size) is int and size >= 1 for size in sizes), f"{found} for {source} to {target}")
                if not can_be_tried:
                    continue
                try:
                    shape = shape_of_value(subject, source, target)
                except Exception as error:
                    raise Complaint(f"`weight_shapes` takes {source} to {target}; `forward` raises {error}") from None
                expect(shape == (ROWS, *target), f"`weight_shapes` takes {source} to {target}; `forward` gives {shape}")

    @remedy("return a short plain name from `label`, such as the type and its telling option: `dense:tanh`")
    def test_label_is_a_name(self, subject: BasisSubject) -> None:
        """`label` has 1 to 64 printable characters, no `->`, no blanks at its ends, and is the same at every call."""
        label = subject.plugin.label(subject.options)
        expect(isinstance(label, str), f"label {label!r}")
        fits = 1 <= len(label) <= LONGEST_LABEL and label.isprintable() and label == label.strip() and "->" not in label
        expect(fits, f"label {label!r} of {len(label)} characters")
        expect(subject.plugin.label(subject.options) == label, f"{label!r} at first, then another")
