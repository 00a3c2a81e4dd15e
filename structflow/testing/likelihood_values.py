"""What a likelihood promises of log p(y | f): shapes, rows, members, gradients, devices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from .check import Rule, expect, expect_refusal, rule
from .likelihood_subject import ROWS, LikelihoodSubject
from .numbers import DOUBLE, Weights, copies, expect_all_close, expect_close, expect_finite, expect_shape, moved

MEMBERS, SAMPLES = 3, 2


@rule("return a tuple of ints ≥ 1 from `output_shape`: one value a target, or a class, or as many as p(y | f) needs")
def output_shape_is_a_shape(subject: LikelihoodSubject) -> None:
    """`output_shape` gives a tuple of whole numbers ≥ 1, the same at every call."""
    shape = subject.out_shape
    whole = isinstance(shape, tuple) and len(shape) > 0 and all(type(size) is int and size >= 1 for size in shape)
    expect(whole, f"output_shape {shape!r}")
    expect(subject.shape_over(subject.n_targets) == shape, f"{shape} at first, then another")


@rule("return arrays of finite starting values by name from `parameters`, in unconstrained coordinates")
def parameters_are_finite(subject: LikelihoodSubject) -> None:
    """`parameters` gives finite arrays by name, the same at every call."""
    found = subject.likelihood.parameters(subject.out_shape)
    again = subject.likelihood.parameters(subject.out_shape)
    expect(set(found) == set(again), f"{sorted(found)} at first and {sorted(again)} later")
    for name, value in found.items():
        expect(isinstance(name, str), f"a parameter named {name!r}")
        array = np.asarray(value, dtype=np.float64)
        expect(bool(np.isfinite(array).all()), f"{name} starts at {array}")
        expect(np.array_equal(array, np.asarray(again[name])), f"{name} starts at {array}, then at {again[name]}")


@rule(
    "sum over the targets of a row, not over rows; make constants with f.new_tensor or python numbers; where y is "
    "bounded, name targets that it can have: LikelihoodExample(targets=[0.2, 1.5])"
)
def log_prob_has_shape_and_dtype(subject: LikelihoodSubject) -> None:
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


@rule("compute every row from itself: nothing is normalised over rows")
def rows_do_not_mix(subject: LikelihoodSubject) -> None:
    """`log_prob` of a row depends on that row alone."""
    parameters, y, f = subject.parameters(), subject.targets(), subject.outputs()
    whole = subject.likelihood.log_prob(parameters, y, f)
    expect_close(subject.likelihood.log_prob(parameters, y[1:4], f[1:4]), whole[1:4], "log_prob of rows 1 to 3")
    expect_close(subject.likelihood.log_prob(parameters, y[2:3], f[2:3]), whole[2:3], "log_prob of row 2 alone")


@rule("compute in logarithms: logsigmoid, log_softmax, logsumexp, lgamma; and bound what is exponentiated")
def gradients_are_finite(subject: LikelihoodSubject) -> None:
    """Gradients of `log_prob` by f and by the learned parameters are finite, also where f is ten times as large."""

    def total(parameters: Weights, f: Tensor) -> Tensor:
        return subject.likelihood.log_prob(parameters, subject.targets(), f).sum()

    for factor in (1.0, 10.0, 0.0):
        slopes, by_f = grad(total, argnums=(0, 1))(subject.parameters(), factor * subject.outputs())
        expect_finite(by_f, f"gradient by f at {factor:g} × its values")
        for name, value in slopes.items():
            expect_finite(value, f"gradient by {name} at {factor:g} × the values of f")
            expect(factor != 1.0 or bool((value != 0).any()), f"no influence of the learned parameter {name}")


@rule("write log_prob for one member with operations that vmap knows: no .item(), no branching on values")
def members_equal_a_loop(subject: LikelihoodSubject) -> None:
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


@rule("make tensors where f is (f.new_tensor); no .cpu(), .item() or numpy in log_prob and moments")
def works_on_any_device(subject: LikelihoodSubject) -> None:
    """`log_prob` and `moments` run on device `meta`, which has shapes but no numbers."""
    parameters, f = moved(subject.parameters(), "meta"), subject.outputs().to("meta")
    expect_shape(subject.likelihood.log_prob(parameters, subject.targets().to("meta"), f), (ROWS,), "log_prob on meta")
    for moment in subject.likelihood.moments(parameters, f):
        expect(moment.device.type == "meta", f"moments on {moment.device} from f on device meta")


@rule("return finite numbers by name from `metrics`, such as rmse or accuracy, of y and the mean of `moments`")
def metrics_are_numbers(subject: LikelihoodSubject) -> None:
    """`metrics` of prepared targets and the mean prediction are finite Python numbers by name."""
    mean, _ = subject.likelihood.moments(subject.parameters(), subject.outputs())
    found = subject.likelihood.metrics(subject.targets().numpy(), mean.numpy())
    expect(isinstance(found, dict) and len(found) > 0, f"metrics {found!r}")
    wrong = {name: value for name, value in found.items() if type(value) is not float or not np.isfinite(value)}
    expect(not wrong, f"metrics {wrong}; convert them with float()")


@rule("override `expected_log_prob` where `closed_form` is true, and leave `closed_form` false elsewhere")
def closed_form_is_declared(subject: LikelihoodSubject) -> None:
    """Where `closed_form` is false, `expected_log_prob` raises TypeError."""
    likelihood, f = subject.likelihood, subject.outputs()
    if likelihood.closed_form:
        return
    arguments = (subject.parameters(), subject.targets(), f, torch.ones_like(f))
    expect_refusal(TypeError, lambda: likelihood.expected_log_prob(*arguments), "an expected_log_prob")


RULES: tuple[Rule[LikelihoodSubject], ...] = (
    output_shape_is_a_shape,
    parameters_are_finite,
    log_prob_has_shape_and_dtype,
    rows_do_not_mix,
    gradients_are_finite,
    members_equal_a_loop,
    works_on_any_device,
    metrics_are_numbers,
    closed_form_is_declared,
)
