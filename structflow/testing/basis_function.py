"""Tests of a basis function."""

from __future__ import annotations

from ..errors import ShapeMismatch
from .basis_derivatives import BasisDerivativeTests
from .basis_members import BasisMemberTests
from .basis_shapes import BasisShapeTests
from .basis_subject import BasisSubject
from .basis_values import BasisValueTests
from .check import remedy
from .compiled import CompiledTests
from .examples import BasisExample
from .numbers import normal
from .tiny_model import candidate, chain, expect_training, tiny_model

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


class BasisFunctionTests(BasisShapeTests, BasisValueTests, BasisDerivativeTests, BasisMemberTests, CompiledTests):
    """Tests of one basis function.

    class TestWave(BasisFunctionTests):
        plugin = Wave
        examples = [BasisExample({"frequency": 3.0}, in_shape=(3,), out_shape=(2,))]
    """

    kind = "basis_functions"
    example_class = BasisExample
    subject_class = BasisSubject

    @classmethod
    def usual_examples(cls) -> list[BasisExample]:
        """Default options between the first of the usual shapes that the function takes."""
        options = cls.registration().options.model_validate({"type": cls.plugin.type})
        fitting = []
        for in_shape, out_shape in USUAL_SHAPES:
            try:
                cls.plugin.weight_shapes(options, in_shape, out_shape)
            except ShapeMismatch:
                continue
            fitting.append(BasisExample({}, in_shape, out_shape))
        return fitting[:MOST_EXAMPLES]

    @remedy("see the tests of values, gradients and members; what they pass should train")
    def test_trains(self, subject: BasisSubject) -> None:
        """A small network with the function on its first edge trains for twenty steps, and its bound stays finite."""
        examined = candidate("examined", subject.plugin, subject.options)
        x = subject.rows()
        graph = chain([examined], [subject.in_shape, subject.out_shape, (1,)])
        expect_training(tiny_model(graph, x, normal(len(x), 1, seed=13)))
