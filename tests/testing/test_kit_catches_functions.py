"""The kit fails for a basis function that breaks a promise, with a message that names it, and says which promise."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from good_function import EXAMPLES, Good
from kit import messages, odd_tests, package_tests
from pydantic import Field

from structflow.errors import ShapeMismatch
from structflow.plugins import BasisOptions
from structflow.testing import BasisExample
from structflow.train.program import can_compile


def test_a_good_function_passes(monkeypatch):
    assert messages(monkeypatch, "basis_functions", Good, EXAMPLES, "trains") == {}


def test_without_examples_usual_shapes_are_tried(monkeypatch):
    assert messages(monkeypatch, "basis_functions", Good, None) == {}


class MixesRows(Good):
    """Subtracts the mean of the rows."""

    def forward(self, weights, x):
        return super().forward(weights, x - x.mean(0))


class UnusedWeight(Good):
    """Declares a weight more than it uses."""

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {**Good.weight_shapes(options, in_shape, out_shape), "scale": (1,)}


class OnTheCpu(Good):
    """Makes a constant on the CPU."""

    def forward(self, weights, x):
        return super().forward(weights, x * torch.full((1,), 0.5))


class MatrixOnTheCpu(Good):
    """Makes a matrix on the CPU, which device meta lets pass."""

    def forward(self, weights, x):
        return super().forward(weights, x @ torch.eye(x.shape[-1]).to(x.dtype))


class Stateful(Good):
    """Counts its calls."""

    calls: ClassVar[int] = 0

    def forward(self, weights, x):
        type(self).calls += 1
        return super().forward(weights, x) + 0.1 * self.calls


class InPlace(Good):
    """Doubles the bias that it is given."""

    def forward(self, weights, x):
        weights["bias"].mul_(1.0 + 1e-3)
        return super().forward(weights, x)


class Flat(Good):
    """Loses an axis."""

    def forward(self, weights, x):
        return super().forward(weights, x).sum(-1)


class Doubled(Good):
    """Returns float64 always."""

    def forward(self, weights, x):
        return super().forward(weights, x).double()


class Exploding(Good):
    """Overflows for inputs that are far out."""

    def forward(self, weights, x):
        return super().forward(weights, x) * (9 * x.abs()).exp().exp().sum(-1, keepdim=True)


class NormAtZero(Good):
    """Has a gradient of NaN at x = 0."""

    def forward(self, weights, x):
        return super().forward(weights, x) * x.square().sum(-1, keepdim=True).sqrt()


class OnceDifferentiable(torch.autograd.Function):
    """tanh with a derivative by hand and no rule for forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.tanh()

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(output)

    @staticmethod
    def backward(context, slope):
        (output,) = context.saved_tensors
        return slope * (1 - output.square())


class NoCurvature(Good):
    """Can't be differentiated forward over reverse."""

    def forward(self, weights, x):
        return OnceDifferentiable.apply(x @ weights["weight"] + weights["bias"])


class Branching(Good):
    """Branches on a value."""

    def forward(self, weights, x):
        return super().forward(weights, x) if float(weights["bias"].sum()) > -1e9 else x


class RandomStart(Good):
    """Starts from random numbers of its own."""

    def start(self, normals):
        return {name: torch.randn(value.shape, dtype=value.dtype) for name, value in normals.items()}


class OtherStart(Good):
    """Starts weights that it didn't declare."""

    def start(self, normals):
        return {**normals, "more": torch.zeros(2)}


class ChangingStart(Good):
    """Writes into the normals."""

    def start(self, normals):
        return {name: value.mul_(0.5) for name, value in normals.items()}


class ListShapes(Good):
    """Gives lists for shapes."""

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {name: list(shape) for name, shape in Good.weight_shapes(options, in_shape, out_shape).items()}


class ChangingShapes(Good):
    """Has shapes that depend on the calls before."""

    seen: ClassVar[int] = 3

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        shapes = Good.weight_shapes(options, in_shape, out_shape)
        cls.seen = max(cls.seen, in_shape[0])
        return {**shapes, "weight": (cls.seen, *out_shape)}


class WrongError(Good):
    """Raises another error for shapes that don't fit."""

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        (rows,), (columns,) = in_shape, out_shape
        return {"weight": (rows, columns), "bias": (columns,)}


class TakesTooMuch(Good):
    """Takes images, which a product with a matrix can't map."""

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        return {"weight": (*in_shape, *out_shape), "bias": out_shape}


class ArrowLabel(Good):
    """Has a label that looks like an edge."""

    @classmethod
    def label(cls, options):
        return "x->y"


class NotLinear(Good):
    """Is declared linear and isn't."""

    linear_in_weights = True

    def output_variance(self, variances, x):
        return x.square() @ variances["weight"] + variances["bias"]


class Linear(Good):
    """g(x; W, b) = xᵀW + b."""

    linear_in_weights = True

    def forward(self, weights, x):
        return x @ weights["weight"] + weights["bias"]

    def output_variance(self, variances, x):
        return x.square() @ variances["weight"] + variances["bias"]


class WrongVariance(Linear):
    """Forgets to square the inputs."""

    def output_variance(self, variances, x):
        return x.abs() @ variances["weight"] + variances["bias"]


class VarianceOfNonlinear(Good):
    """Has a variance without being linear."""

    def output_variance(self, variances, x):
        return x.square() @ variances["weight"] + variances["bias"]


class UndocumentedOptions(BasisOptions):
    power: int = 1


class Undescribed(Good):
    """Has an option without a description."""

    Options = UndocumentedOptions


class MutableOptions(BasisOptions, frozen=False):
    power: int = Field(1, description="A power.")


class Mutable(Good):
    """Has options that can be changed."""

    Options = MutableOptions


class SetOptions(BasisOptions):
    power: Any = Field(frozenset({1}), description="Powers.")


class LosesTypes(Good):
    """Has options that JSON gives back otherwise."""

    Options = SetOptions


class Silent(Good):
    pass


MEMBERS = {"members_equal_a_loop", "gradients_of_members_equal_a_loop"}


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (MixesRows, {"rows_do_not_mix"}),
        (UnusedWeight, {"every_weight_counts"}),
        (OnTheCpu, {"works_on_any_device", "stays_in_double_precision"}),
        (MatrixOnTheCpu, {"works_on_any_device", "stays_in_double_precision"}),
        (Flat, {"output_has_shape_and_dtype", "works_on_any_device"}),
        (Doubled, {"output_has_shape_and_dtype"}),
        (NormAtZero, {"gradients_are_finite"}),
        (NoCurvature, {"curvature_exists"}),
        (Branching, {*MEMBERS, "works_on_any_device", "trains"}),
        (RandomStart, {"start_gives_weights", "starts_of_members_equal_a_loop", "trains"}),
        (ChangingStart, {"start_gives_weights"}),
        (ListShapes, {"weight_shapes_are_shapes"}),
        (WrongError, {"other_shapes_are_refused"}),
        (TakesTooMuch, {"other_shapes_are_refused"}),
        (ArrowLabel, {"label_is_a_name"}),
        (NotLinear, {"linear_where_declared", "variance_is_that_of_the_output"}),
        (WrongVariance, {"variance_is_that_of_the_output"}),
        (VarianceOfNonlinear, {"variance_is_that_of_the_output"}),
        (Undescribed, {"options_described"}),
        (Mutable, {"options_immutable"}),
        (LosesTypes, {"options_survive_json"}),
        (Silent, {"documented"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_function_is_caught_by_these_rules_alone(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    found = messages(monkeypatch, "basis_functions", plugin, EXAMPLES, *rules)
    assert set(found) == rules, found
    for rule in rules:
        for words in (f"basis function '{plugin.type}'", f"breaks {rule}", "got:", "expected:", "to fix it:"):
            assert words in found[rule]


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Stateful, {"repeats_itself", "rows_do_not_mix", "members_equal_a_loop"}),
        (InPlace, {"changes_nothing"}),
        (Exploding, {"output_is_finite", "gradients_are_finite", "trains"}),
        (OtherStart, {"start_gives_weights"}),
        (ChangingShapes, {"weight_shapes_are_shapes"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_that_is_broken_in_several_ways_is_caught(monkeypatch, plugin, rules):
    monkeypatch.setattr(plugin, "type", plugin.__name__.lower())
    assert set(messages(monkeypatch, "basis_functions", plugin, EXAMPLES, *rules)) >= rules


def test_a_linear_function_passes(monkeypatch):
    assert messages(monkeypatch, "basis_functions", Linear, EXAMPLES) == {}


def test_a_local_class_cannot_be_pickled(monkeypatch):
    class Local(Good):
        """Defined in a function."""

        type = "local"

    found = messages(monkeypatch, "basis_functions", Local, EXAMPLES)
    assert set(found) == {"survives_pickle"}


@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
def test_a_function_that_does_not_compile_is_caught(monkeypatch):
    monkeypatch.setattr(Branching, "type", "branching")
    alone = "compiled_alone_equals_eager"
    assert f"breaks {alone}" in messages(monkeypatch, "basis_functions", Branching, EXAMPLES, alone)[alone]
    whole = package_tests("odd", odd_tests(monkeypatch, "basis_functions", Branching, EXAMPLES))
    with pytest.raises(AssertionError, match="package 'odd' breaks compiled_equals_eager"):
        whole.test_compiled_equals_eager()


@pytest.mark.thorough
@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
def test_a_compiled_function_that_differs_is_caught(monkeypatch):
    """A program keeps the number of calls that was there when it was traced."""
    monkeypatch.setattr(Stateful, "type", "stateful")
    found = messages(monkeypatch, "basis_functions", Stateful, EXAMPLES, "compiled_alone_equals_eager")
    assert "the compiled value differs" in found["compiled_alone_equals_eager"]


def test_examples_that_do_not_fit_are_reported(monkeypatch):
    found = messages(monkeypatch, "basis_functions", Good, [BasisExample({"degree": 3}, (3,), (2,))])
    assert "Extra inputs are not permitted" in found["example_is_valid"]
    found = messages(monkeypatch, "basis_functions", Good, [BasisExample({}, (3, 3), (2,))])
    assert "ShapeMismatch" in found["weight_shapes_are_shapes"]
    found = messages(monkeypatch, "basis_functions", Good, [{"degree": 3}])
    assert "not BasisExample" in found["examples_fit"]


class PairOptions(BasisOptions):
    size: int = Field(description="Has no default.")


class NeedsOptions(Good):
    """Can't do without options."""

    type = "needs_options"
    Options = PairOptions


class OddShapes(Good):
    """Takes none of the usual shapes."""

    type = "odd_shapes"

    @classmethod
    def weight_shapes(cls, options, in_shape, out_shape):
        if (in_shape, out_shape) != ((9,), (9,)):
            raise ShapeMismatch(f"nine to nine; got {in_shape} to {out_shape}")
        return Good.weight_shapes(options, in_shape, out_shape)


@pytest.mark.parametrize(("plugin", "words"), [(NeedsOptions, "Field required"), (OddShapes, "usual shapes")])
def test_examples_are_asked_for_where_there_must_be_some(monkeypatch, plugin, words):
    found = messages(monkeypatch, "basis_functions", plugin, None)
    assert set(found) == {"examples_fit"}
    assert words in found["examples_fit"]
    assert "in `examples` of the test class" in found["examples_fit"]


def test_an_empty_list_leaves_out_what_needs_an_example(monkeypatch):
    assert messages(monkeypatch, "basis_functions", OddShapes, []) == {}
