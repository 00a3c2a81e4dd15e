"""Whether compiled programs compute what eager ones do: all of a package in one program, or each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from torch import Tensor

from ..train.program import can_compile, prepare_compiler, program_for
from .check import Complaint, remedy
from .numbers import Weights, expect_close
from .plugin_tests import PluginTests
from .subject import Subject

MEMBERS = 2
COMPILED = 1e-8
"""Relative difference that compiled code in float64 may make: it fuses and reorders sums."""

REMEDY = (
    "write tensors operations only, whose course doesn't depend on values, and none that torch.compile can't trace; "
    "run pytest with -m compile_each to see each function by itself"
)

Part = Callable[..., tuple[Tensor, Weights]]
"""A function of tensors that gives values and gradients by name, of all members."""


class CompiledSubject(Subject):
    """A function that becomes part of compiled programs."""

    def compiled_part(self, members: int) -> tuple[Part, tuple[object, ...]]:
        """Its values and gradients, and arguments for so many members."""
        raise NotImplementedError


class CompiledTests(PluginTests):
    """A function compiles by itself."""

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Run tests for every example.

        torch fixes the folder of its compiler's cache at the first use of several parts, so ours is named before.
        """
        prepare_compiler()
        super().pytest_generate_tests(metafunc)

    @pytest.mark.compile_each
    @remedy(REMEDY)
    def test_compiled_alone_equals_eager(self, subject: CompiledSubject) -> None:
        """It compiles by itself and gives the values and gradients of eager mode."""
        expect_compiled_equals_eager([subject])


def expect_compiled_equals_eager(subjects: Sequence[CompiledSubject]) -> None:
    """Complain about every subject whose compiled values or gradients aren't those of eager mode."""
    if not can_compile("cpu"):
        pytest.skip("there is no C++ compiler here (install g++ or clang++)")
    parts, arguments = zip(*(subject.compiled_part(MEMBERS) for subject in subjects), strict=True)

    def everything(*given: tuple[object, ...]) -> list[tuple[Tensor, Weights]]:
        return [part(*of_part) for part, of_part in zip(parts, given, strict=True)]

    configuration = ("testing", *(subject.about for subject in subjects))
    found = program_for(configuration, everything, arguments, compiled=True)(*arguments)
    for subject, (values, slopes), (expected, slopes_expected) in zip(
        subjects, found, everything(*arguments), strict=True
    ):
        try:
            expect_close(values, expected, "the compiled value", COMPILED)
            for name, slope in slopes_expected.items():
                expect_close(slopes[name], slope, f"the compiled gradient by {name}", COMPILED)
        except Complaint as complaint:
            raise Complaint(f"{complaint}; {subject.about}") from None
