"""What a basis function promises of its values: start, shapes, dtypes, rows, purity, devices."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad
from torch.utils._pytree import tree_leaves

from ..errors import ShapeMismatch
from .basis_subject import ROWS, BasisSubject
from .check import expect, remedy
from .numbers import (
    DOUBLE,
    REMEDY,
    Weights,
    cast,
    copies,
    expect_all_close,
    expect_close,
    expect_double,
    expect_finite,
    expect_shape,
    moved,
    normal,
)
from .option_bounds import at_bounds

LARGE = 10.0
"""Factor of inputs that are far out but still to be expected of standardised data."""

MANY = (4, 70)
"""Copies of all rows that are computed together, a thousand rows and more."""

LARGEST_START = 1000.0
"""Of outputs and weights at the start, for standard normal inputs."""

SINGLE = 1e-3
"""Relative difference that float32 on another device may make."""


def describe(weights: Weights) -> str:
    """The size of weights in a message."""
    return ", ".join(f"{name} up to {float(value.abs().max()):.3g}" for name, value in weights.items()) or "no weights"


def holds_tensors(value: object) -> bool:
    """Whether a value is a tensor, or a collection with one."""
    return any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(value))


def on_an_imagined_gpu(subject: BasisSubject) -> str | None:
    """What would go wrong on a GPU, as far as torch can tell from shapes and devices alone."""
    try:
        with FakeTensorMode():
            weights = {name: torch.empty(shape, device="cuda") for name, shape in subject.shapes.items()}
            output = subject.forward(weights, torch.empty(ROWS, *subject.in_shape, device="cuda"))
    except Exception as error:
        # A torch without CUDA can't imagine all operations; only what it says of devices is the function's fault.
        return str(error) if "same device" in str(error) else None
    return None if output.device.type == "cuda" else f"the output is on {output.device}"


class BasisValueTests:
    """Values have shapes and dtypes, are finite and follow from the arguments alone."""

    @remedy("return finite means of the given names and shapes from `start`, made of the normals without changing them")
    def test_start_gives_weights(self, subject: BasisSubject) -> None:
        """`start` gives finite weights of the declared names and shapes, the same for the same normals."""
        normals = subject.weights(seed=2)
        before = copies(normals)
        means = subject.function.start(normals)
        expect(set(means) == set(subject.shapes), f"weights {sorted(means)}; declared are {sorted(subject.shapes)}")
        for name, shape in subject.shapes.items():
            expect_shape(means[name], shape, f"start of {name}")
            expect_finite(means[name], f"start of {name}")
        expect_all_close(normals, before, "after start, the normals of")
        expect_all_close(subject.function.start(normals), means, "the second start of")
        single = subject.started(torch.float32)
        wrong = {name: value.dtype for name, value in single.items() if value.dtype != torch.float32}
        expect(not wrong, f"from normals in float32 a start in {wrong}")

    @remedy("return (rows, *out_shape) in the dtype of `x`: make constants with x.new_tensor or python numbers")
    def test_output_has_shape_and_dtype(self, subject: BasisSubject) -> None:
        """`forward` returns (rows, *out_shape) in the dtype of the inputs, in float64 and in float32."""
        for dtype in (DOUBLE, torch.float32):
            output = subject.forward(subject.weights(dtype=dtype), subject.rows(dtype=dtype))
            expect_shape(output, (ROWS, *subject.out_shape), f"forward in {dtype}")
            expect(output.dtype == dtype, f"forward of {dtype} in {output.dtype}")

    @remedy("keep what is exponentiated or divided by within bounds (clamp, softplus, log-sum-exp)")
    def test_output_is_finite(self, subject: BasisSubject) -> None:
        """At its start the function is finite for standard normal inputs and for ten times as large ones."""
        for dtype in (DOUBLE, torch.float32):
            for factor in (1.0, LARGE, 0.0):
                output = subject.forward(subject.started(dtype), factor * subject.rows(dtype=dtype))
                expect_finite(output, f"forward at {factor:g} × normal inputs in {dtype}")

    @remedy(
        "compute every row from itself: no means, sorting or normalisation over rows, and no branch on their number"
    )
    def test_rows_do_not_mix(self, subject: BasisSubject) -> None:
        """A row's output depends on that row alone, whatever rows stand beside it and however many, even on its own."""
        weights, x = subject.weights(), subject.rows()
        whole = subject.forward(weights, x)
        expect_close(subject.forward(weights, x[1:4]), whole[1:4], "forward of rows 1 to 3")
        expect_close(subject.forward(weights, x[2:3]), whole[2:3], "forward of row 2 alone")
        expect_close(subject.forward(weights, x.flip(0)), whole.flip(0), "forward of the rows in reverse")
        for copies_of_all in MANY:
            many = subject.forward(weights, x.repeat(copies_of_all, *[1] * len(subject.in_shape)))
            expect_close(many[-ROWS:], whole, f"forward of the same rows among {copies_of_all * ROWS:,}")

    @remedy(REMEDY)
    def test_stays_in_double_precision(self, subject: BasisSubject) -> None:
        """`forward` of weights and inputs in float64 computes nothing in single precision."""
        weights, x = subject.weights(), subject.rows()
        expect_double(lambda: subject.forward(weights, x), "forward")

    @remedy("let `start` scale the normals such that outputs are near 1: normals / sqrt(number of terms in each sum)")
    def test_start_is_of_use(self, subject: BasisSubject) -> None:
        """Starts of matrices differ from restart to restart, unless g is linear in w, and keep outputs below 1,000."""
        first, second = (subject.function.start(subject.weights(seed=seed)) for seed in (2, 6))
        differ = any(bool((first[name] != second[name]).any()) for name in first)
        matrices = [name for name, shape in subject.shapes.items() if len(shape) > 1]
        same = f"the same start whatever the normals: {describe(first)}; every restart would be the same"
        expect(differ or not matrices or subject.function.linear_in_weights, same)
        size = float(subject.forward(first, subject.rows()).square().mean().sqrt())
        expect(
            size <= LARGEST_START, f"outputs of {size:.3g} at the start (root of the mean square), of {describe(first)}"
        )
        largest = max((float(value.abs().max()) for value in first.values()), default=0.0)
        expect(largest <= LARGEST_START, f"weights up to {largest:.3g} at the start")

    @remedy("let what the options allow work, or bound them: Field(ge=…, le=…); a validator may refuse combinations")
    def test_options_work_at_their_bounds(self, subject: BasisSubject) -> None:
        """With every option at its bounds, or at each of its words, values and gradients at the start are finite."""
        for words, options in at_bounds(subject):
            try:
                shapes = subject.plugin.weight_shapes(options, subject.in_shape, subject.out_shape)
            except ShapeMismatch:
                continue
            function = subject.plugin(options, subject.in_shape, subject.out_shape)
            weights = function.start(
                {name: normal(*shape, seed=9 + place) for place, (name, shape) in enumerate(shapes.items())}
            )
            output = function.forward(weights, subject.rows())
            expect_shape(output, (ROWS, *subject.out_shape), f"forward with {words}")
            expect_finite(output, f"forward with {words}")
            slopes = grad(lambda w, x, g=function: g.forward(w, x).square().sum(), argnums=(0, 1))
            by_weights, by_x = slopes(weights, subject.rows())
            for name, value in {**by_weights, "x": by_x}.items():
                expect_finite(value, f"gradient with respect to {name} with {words}")

    @remedy("draw no random numbers and keep no state in the instance, the class or the module")
    def test_repeats_itself(self, subject: BasisSubject) -> None:
        """The same weights and inputs give the same numbers, whatever was computed in between."""
        weights, x = subject.weights(), subject.rows()
        first = subject.forward(weights, x)
        subject.forward(subject.weights(seed=5), 2.0 * subject.rows(seed=8)[:3])
        expect_close(subject.forward(weights, x), first, "the second forward", 0.0)
        for before in (False, True):
            anew = subject.plugin(subject.options, subject.in_shape, subject.out_shape)
            if before:
                anew.forward(subject.weights(seed=5), 2.0 * subject.rows(seed=8)[:3])
            known = dict(vars(anew))
            what = (
                "forward of a new instance that was called with something else before"
                if before
                else "forward of a new instance"
            )
            expect_close(anew.forward(weights, x), first, what, 0.0)
            kept = [name for name, value in vars(anew).items() if known.get(name) is not value and holds_tensors(value)]
            expect(not kept, f"tensors that `forward` left in the instance: {', '.join(kept)}")

    @remedy("compute new tensors in place of changing those given: x + 1, not x.add_(1)")
    def test_changes_nothing(self, subject: BasisSubject) -> None:
        """`forward` leaves weights and inputs as they were."""
        weights, x = subject.weights(), subject.rows()
        names, before, x_before = list(weights), copies(weights), x.clone()
        subject.forward(weights, x)
        expect(list(weights) == names, f"after forward, weights {list(weights)}")
        expect_all_close(weights, before, "after forward, weight")
        expect_close(x, x_before, "after forward, x", 0.0)

    @remedy(
        "make tensors where the inputs are (x.new_zeros, torch.arange(..., device=x.device)); no .cpu(), .item(), numpy"
    )
    def test_works_on_any_device(self, subject: BasisSubject) -> None:
        """`forward` runs where its arguments are: on device `meta`, which has shapes but no numbers, and on a GPU's."""
        weights, x = moved(subject.weights(), "meta"), subject.rows().to("meta")
        output = subject.forward(weights, x)
        expect_shape(output, (ROWS, *subject.out_shape), "forward on device meta")
        expect(output.device.type == "meta", f"from inputs on device meta an output on {output.device}")
        elsewhere = on_an_imagined_gpu(subject)
        expect(elsewhere is None, f"from inputs on a GPU: {elsewhere}")

    @remedy("make tensors where the inputs are; avoid operations that differ between devices")
    def test_gpu_equals_cpu(self, subject: BasisSubject) -> None:
        """On a CUDA device the numbers are those of the CPU, to the precision of float32."""
        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
        weights, x = subject.started(), subject.rows()
        expected = subject.forward(weights, x)
        found = subject.forward(moved(cast(weights, torch.float32), "cuda"), x.float().cuda())
        expect_close(found.cpu(), expected, "forward on the GPU", SINGLE)
