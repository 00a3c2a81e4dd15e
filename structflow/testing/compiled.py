"""Whether compiled programs compute what eager ones do: all of a package in one program, or each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from torch import Tensor
from torch.func import grad, vmap

from ..train.program import can_compile, program_for
from .basis_derivatives import with_output
from .basis_subject import BasisSubject
from .check import Complaint, Rule, rule
from .likelihood_subject import LikelihoodSubject
from .numbers import Weights, expect_close

MEMBERS = 2
COMPILED = 1e-8
"""Relative difference that compiled code in float64 may make: it fuses and reorders sums."""

COMPILE_TOGETHER = "compile_together"
"""Mark of the check that compiles all functions of a package as one program."""

COMPILE_EACH = "compile_each"
"""Mark of the checks that compile one function each."""

Part = Callable[..., tuple[Tensor, Weights]]


def parts_of(subjects: Sequence[BasisSubject | LikelihoodSubject]) -> tuple[list[Part], list[tuple[Any, ...]]]:
    """For every subject a function of tensors that gives its values and gradients of all members, and its arguments."""
    parts: list[Part] = []
    arguments: list[tuple[Any, ...]] = []
    for subject in subjects:
        if isinstance(subject, BasisSubject):
            parts.append(basis_part(subject))
            arguments.append((subject.weights(MEMBERS), subject.rows()))
        else:
            parts.append(likelihood_part(subject))
            arguments.append((subject.parameters(MEMBERS), subject.targets(), subject.outputs(MEMBERS)))
    return parts, arguments


def basis_part(subject: BasisSubject) -> Part:
    """g, and the gradient of a number made of it by the weights, or by x where there are none."""

    def compute(weights: Weights, x: Tensor) -> tuple[Tensor, Weights]:
        if not weights:
            by_x, output = grad(lambda rows: with_output(subject.forward({}, rows)), has_aux=True)(x)
            return output, {"x": by_x}
        slope = grad(lambda of_member, rows: with_output(subject.forward(of_member, rows)), has_aux=True)
        by_weights, output = vmap(slope, (0, None))(weights, x)
        return output, by_weights

    return compute


def likelihood_part(subject: LikelihoodSubject) -> Part:
    """log p(y | f), and its gradient by f."""

    def compute(parameters: Weights, y: Tensor, f: Tensor) -> tuple[Tensor, Weights]:
        def total_and_rows(of_member: Weights, value: Tensor) -> tuple[Tensor, Tensor]:
            rows = subject.likelihood.log_prob(of_member, y, value)
            return rows.sum(), rows

        by_f, rows = vmap(grad(total_and_rows, argnums=1, has_aux=True))(parameters, f)
        return rows, {"f": by_f}

    return compute


def expect_compiled_equals_eager(subjects: Sequence[BasisSubject | LikelihoodSubject]) -> None:
    """Complain about every subject whose compiled values or gradients aren't those of eager mode."""
    if not can_compile("cpu"):
        pytest.skip("there is no C++ compiler here (install g++ or clang++)")
    parts, arguments = parts_of(subjects)

    def everything(*given: tuple[Any, ...]) -> list[tuple[Tensor, Weights]]:
        return [part(*of_part) for part, of_part in zip(parts, given, strict=True)]

    signature = "|".join(["testing", *(f"{subject.prefix}{subject.example!r}" for subject in subjects)])
    found = program_for(signature, everything, tuple(arguments), compiled=True)(*arguments)
    for subject, (values, slopes), (expected, slopes_expected) in zip(
        subjects, found, everything(*arguments), strict=True
    ):
        try:
            expect_close(values, expected, "the compiled value", COMPILED)
            for name, slope in slopes_expected.items():
                expect_close(slopes[name], slope, f"the compiled gradient by {name}", COMPILED)
        except Complaint as complaint:
            raise Complaint(f"{complaint}; {subject.about}") from None


REMEDY = (
    "write tensors operations only, whose course doesn't depend on values, and none that torch.compile can't trace; "
    f"run pytest with -m {COMPILE_EACH} to see each function by itself"
)


@rule(REMEDY, COMPILE_TOGETHER)
def compiled_equals_eager(subjects: Sequence[BasisSubject | LikelihoodSubject]) -> None:
    """All functions of the package compile, in one program, and give the values and gradients of eager mode."""
    expect_compiled_equals_eager(subjects)


@rule(REMEDY, COMPILE_EACH)
def compiled_alone_equals_eager(subject: BasisSubject | LikelihoodSubject) -> None:
    """It compiles by itself and gives the values and gradients of eager mode."""
    expect_compiled_equals_eager([subject])


TOGETHER: tuple[Rule[Sequence[BasisSubject | LikelihoodSubject]], ...] = (compiled_equals_eager,)
ALONE: tuple[Rule[Any], ...] = (compiled_alone_equals_eager,)
