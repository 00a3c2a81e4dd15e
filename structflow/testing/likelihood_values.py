"""What a likelihood promises of log p(y | f): shapes, rows, members, derivatives, precision, devices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from .check import expect, expect_refusal, remedy
from .likelihood_subject import ROWS, LikelihoodSubject
from .numbers import (
    DOUBLE,
    REMEDY,
    Weights,
    copies,
    expect_all_close,
    expect_close,
    expect_double,
    expect_finite,
    expect_gradients,
    expect_shape,
    flattened,
    moved,
)
from .option_bounds import at_bounds

MEMBERS, SAMPLES = 3, 2


MANY = (5, 90)
"""Copies of all rows that are computed together, a thousand rows and more."""


def split(point: Weights) -> tuple[Weights, Weights]:
    """The learned parameters of a point, and the rest of it."""
    own = {name.removeprefix("parameter "): value for name, value in point.items() if name.startswith("parameter ")}
    return own, {name: value for name, value in point.items() if not name.startswith("parameter ")}


class LikelihoodValueTests:
    """log p(y | f) has shapes and dtypes, and follows from the arguments alone."""

    @remedy(
        "return a tuple of ints ≥ 1 from `output_shape`: one value a target, or a class, or as many as p(y | f) needs"
    )
    def test_output_shape_is_a_shape(self, subject: LikelihoodSubject) -> None:
        """`output_shape` gives a tuple of whole numbers ≥ 1, the same at every call."""
        shape = subject.out_shape
        whole = isinstance(shape, tuple) and len(shape) > 0 and all(type(size) is int and size >= 1 for size in shape)
        expect(whole, f"output_shape {shape!r}")
        expect(subject.shape_over(subject.n_targets) == shape, f"{shape} at first, then another")

    @remedy("return arrays of finite starting values by name from `parameters`, in unconstrained coordinates")
    def test_parameters_are_finite(self, subject: LikelihoodSubject) -> None:
        """`parameters` gives finite arrays by name, the same at every call."""
        found = subject.likelihood.parameters(subject.out_shape)
        again = subject.likelihood.parameters(subject.out_shape)
        expect(set(found) == set(again), f"{sorted(found)} at first and {sorted(again)} later")
        for name, value in found.items():
            expect(isinstance(name, str), f"a parameter named {name!r}")
            array = np.asarray(value, dtype=np.float64)
            expect(bool(np.isfinite(array).all()), f"{name} starts at {array}")
            expect(np.array_equal(array, np.asarray(again[name])), f"{name} starts at {array}, then at {again[name]}")

    @remedy(
        "sum over the targets of a row, not over rows; make constants with f.new_tensor or python numbers; where y is "
        "bounded, name targets that it can have: LikelihoodExample(targets=[0.2, 1.5])"
    )
    def test_log_prob_has_shape_and_dtype(self, subject: LikelihoodSubject) -> None:
        """`log_prob` is finite, one number a row, in the dtype of f, and changes none of its arguments."""
        for dtype in (DOUBLE, torch.float32):
            parameters, y, f = subject.parameters(dtype=dtype), subject.targets(dtype), subject.outputs(dtype=dtype)
            before = copies({**parameters, "y": y, "f": f})
            found = subject.likelihood.log_prob(parameters, y, f)
            expect_shape(found, (ROWS,), f"log_prob in {dtype}")
            expect(found.dtype == dtype, f"log_prob of {dtype} in {found.dtype}")
            expect_finite(found, f"log_prob in {dtype}")
            expect_all_close({**parameters, "y": y, "f": f}, before, "after log_prob,")
            expect_close(subject.likelihood.log_prob(parameters, y, f), found, "the second log_prob", 0.0)

    @remedy("compute every row from itself: nothing is normalised over rows")
    def test_rows_do_not_mix(self, subject: LikelihoodSubject) -> None:
        """`log_prob` of a row depends on that row alone."""
        parameters, y, f = subject.parameters(), subject.targets(), subject.outputs()
        whole = subject.likelihood.log_prob(parameters, y, f)
        expect_close(subject.likelihood.log_prob(parameters, y[1:4], f[1:4]), whole[1:4], "log_prob of rows 1 to 3")
        expect_close(subject.likelihood.log_prob(parameters, y[2:3], f[2:3]), whole[2:3], "log_prob of row 2 alone")

    @remedy("compute in logarithms: logsigmoid, log_softmax, logsumexp, lgamma; and bound what is exponentiated")
    def test_gradients_are_finite(self, subject: LikelihoodSubject) -> None:
        """Gradients of `log_prob` by f and by the learned parameters are finite, also where f is ten times as large."""

        def total(parameters: Weights, f: Tensor) -> Tensor:
            return subject.likelihood.log_prob(parameters, subject.targets(), f).sum()

        for factor in (1.0, 10.0, 0.0):
            slopes, by_f = grad(total, argnums=(0, 1))(subject.parameters(), factor * subject.outputs())
            expect_finite(by_f, f"gradient by f at {factor:g} × its values")
            for name, value in slopes.items():
                expect_finite(value, f"gradient by {name} at {factor:g} × the values of f")
                expect(factor != 1.0 or bool((value != 0).any()), f"no influence of the learned parameter {name}")

    @remedy("write log_prob for one member with operations that vmap knows: no .item(), no branching on values")
    def test_members_equal_a_loop(self, subject: LikelihoodSubject) -> None:
        """Members and samples under vmap give the numbers of a loop over them."""
        parameters, y = subject.parameters(MEMBERS), subject.targets()
        f = subject.outputs(MEMBERS, SAMPLES)
        lifted = vmap(vmap(subject.likelihood.log_prob, (None, None, 0)), (0, None, 0))(parameters, y, f)
        looped = [
            subject.likelihood.log_prob({name: value[m] for name, value in parameters.items()}, y, f[m, s])
            for m in range(MEMBERS)
            for s in range(SAMPLES)
        ]
        expect_close(lifted.flatten(0, 1), torch.stack(looped), "log_prob over members and samples")

    @remedy("make tensors where f is (f.new_tensor); no .cpu(), .item() or numpy in log_prob and moments")
    def test_works_on_any_device(self, subject: LikelihoodSubject) -> None:
        """`log_prob` and `moments` run on device `meta`, which has shapes but no numbers."""
        parameters, f = moved(subject.parameters(), "meta"), subject.outputs().to("meta")
        expect_shape(
            subject.likelihood.log_prob(parameters, subject.targets().to("meta"), f), (ROWS,), "log_prob on meta"
        )
        for moment in subject.likelihood.moments(parameters, f):
            expect(moment.device.type == "meta", f"moments on {moment.device} from f on device meta")

    @remedy("return finite numbers by name from `metrics`, of y and the mean of `moments`, or leave it out")
    def test_metrics_are_numbers(self, subject: LikelihoodSubject) -> None:
        """`metrics` of prepared targets and the mean prediction are finite Python numbers by name."""
        mean, _ = subject.likelihood.moments(subject.parameters(), subject.outputs())
        found = subject.likelihood.metrics(subject.targets().numpy(), mean.numpy())
        expect(isinstance(found, dict), f"metrics {found!r}")
        wrong = {name: value for name, value in found.items() if type(value) is not float or not np.isfinite(value)}
        expect(not wrong, f"metrics {wrong}; convert them with float()")

    @remedy("override `expected_log_prob` where `closed_form` is true, and leave `closed_form` false elsewhere")
    def test_closed_form_is_declared(self, subject: LikelihoodSubject) -> None:
        """Where `closed_form` is false, `expected_log_prob` raises TypeError."""
        likelihood, f = subject.likelihood, subject.outputs()
        if likelihood.closed_form:
            return
        arguments = (subject.parameters(), subject.targets(), f, torch.ones_like(f))
        expect_refusal(TypeError, lambda: likelihood.expected_log_prob(*arguments), "an expected_log_prob")

    @remedy(
        "leave derivatives to torch: no .detach(), torch.no_grad() or rounding from f or the parameters on, and a "
        "`backward` of your own that is the derivative"
    )
    def test_gradients_are_derivatives(self, subject: LikelihoodSubject) -> None:
        """Gradients of `log_prob`, and of `expected_log_prob` where there is one, are those of central differences."""
        likelihood, y = subject.likelihood, subject.targets()
        own = {f"parameter {name}": value for name, value in subject.parameters().items()}
        f = subject.outputs()

        def log_prob(point: Weights) -> Tensor:
            parameters, rest = split(point)
            return flattened(likelihood.log_prob(parameters, y, rest["f"]))

        expect_gradients(log_prob, {1: {**own, "f": f}, 2: {**own, "f": 1.3 * f + 0.1}}, "the gradient of log_prob")
        if not likelihood.closed_form:
            return

        def expected(point: Weights) -> Tensor:
            parameters, rest = split(point)
            return flattened(likelihood.expected_log_prob(parameters, y, rest["mean"], rest["variance"]))

        points = {
            seed: {**own, "mean": factor * f, "variance": 0.3 + f.square()} for seed, factor in ((1, 1.0), (2, 1.3))
        }
        expect_gradients(expected, points, "the gradient of expected_log_prob")

    @remedy(
        "keep nothing in the instance, and don't branch on the number of rows: minibatches and predictions have others"
    )
    def test_neither_calls_nor_numbers_of_rows_matter(self, subject: LikelihoodSubject) -> None:
        """`log_prob` and `moments` are the same after other calls, and among a thousand rows and more."""
        parameters, y, f = subject.parameters(), subject.targets(), subject.outputs()
        first = subject.over(subject.n_targets).log_prob(parameters, y, f)
        anew = subject.over(subject.n_targets)
        anew.log_prob(subject.parameters(), y[:3], 2.0 * f[:3] + 0.1)
        anew.moments(parameters, f[:2])
        expect_close(anew.log_prob(parameters, y, f), first, "log_prob of an instance called with something else", 0.0)
        mean = anew.moments(parameters, f)[0]
        for times in MANY:
            many = f.repeat(times, *[1] * (f.ndim - 1))
            found = anew.log_prob(parameters, y.repeat(times, 1), many)
            expect_shape(found, (times * ROWS,), f"log_prob of {times * ROWS:,} rows")
            expect_close(found[-ROWS:], first, f"log_prob of the same rows among {times * ROWS:,}")
            expect_close(anew.moments(parameters, many)[0][-ROWS:], mean, f"the mean among {times * ROWS:,} rows")

    @remedy(REMEDY)
    def test_stays_in_double_precision(self, subject: LikelihoodSubject) -> None:
        """`log_prob`, `moments` and `expected_log_prob` of float64 arguments compute nothing in single precision."""
        likelihood, parameters, y, f = subject.likelihood, subject.parameters(), subject.targets(), subject.outputs()
        expect_double(lambda: likelihood.log_prob(parameters, y, f), "log_prob")
        expect_double(lambda: likelihood.moments(parameters, f), "moments")
        if likelihood.closed_form:
            variance = torch.ones_like(f)
            expect_double(lambda: likelihood.expected_log_prob(parameters, y, f, variance), "expected_log_prob")

    @remedy("let what the options allow work, or bound them: Field(ge=…, le=…); a validator may refuse combinations")
    def test_options_work_at_their_bounds(self, subject: LikelihoodSubject) -> None:
        """With every option at its bounds, or at each of its words, log p(y | f) is finite and one number a row."""
        y, f = subject.targets(), subject.outputs()
        for words, options in at_bounds(subject):
            likelihood = subject.plugin(options, subject.likelihood.target_scale)
            shape = subject.plugin.output_shape(options, subject.n_targets, subject.example.n_classes)
            if tuple(shape) != subject.out_shape:
                continue
            own = {
                name: torch.as_tensor(value, dtype=torch.float64)
                for name, value in likelihood.parameters(shape).items()
            }
            found = likelihood.log_prob(own, y, f)
            expect_shape(found, (ROWS,), f"log_prob with {words}")
            expect_finite(found, f"log_prob with {words}")
            expect(all(bool(value.isfinite().all()) for value in own.values()), f"parameters {own} with {words}")
