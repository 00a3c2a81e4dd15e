"""What a likelihood promises of derivatives, precision and options, and that it remembers nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from .check import Rule, expect, rule
from .differences import expect_gradients, flattened
from .likelihood_subject import ROWS, LikelihoodSubject
from .numbers import Weights, expect_close, expect_finite, expect_shape
from .option_bounds import at_bounds
from .precision import REMEDY, expect_double

MANY = (5, 90)
"""Copies of all rows that are computed together, a thousand rows and more."""


def split(point: Weights) -> tuple[Weights, Weights]:
    """The learned parameters of a point, and the rest of it."""
    own = {name.removeprefix("parameter "): value for name, value in point.items() if name.startswith("parameter ")}
    return own, {name: value for name, value in point.items() if not name.startswith("parameter ")}


@rule(
    "leave derivatives to torch: no .detach(), torch.no_grad() or rounding on the way from f or the parameters, and a "
    "`backward` of your own that is the derivative"
)
def gradients_are_derivatives(subject: LikelihoodSubject) -> None:
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

    points = {seed: {**own, "mean": factor * f, "variance": 0.3 + f.square()} for seed, factor in ((1, 1.0), (2, 1.3))}
    expect_gradients(expected, points, "the gradient of expected_log_prob")


@rule("keep nothing in the instance, and don't branch on the number of rows: minibatches and predictions have others")
def neither_calls_nor_numbers_of_rows_matter(subject: LikelihoodSubject) -> None:
    """`log_prob` and `moments` are the same after other calls, and among a thousand rows and more."""
    parameters, y, f = subject.parameters(), subject.targets(), subject.outputs()
    first = subject.over(subject.n_targets).log_prob(parameters, y, f)
    anew = subject.over(subject.n_targets)
    anew.log_prob(subject.parameters(), y[:3], 2.0 * f[:3] + 0.1)
    anew.moments(parameters, f[:2])
    expect_close(anew.log_prob(parameters, y, f), first, "log_prob of an instance called with something else", 0.0)
    mean = anew.moments(parameters, f)[0]
    for copies in MANY:
        many = f.repeat(copies, *[1] * (f.ndim - 1))
        found = anew.log_prob(parameters, y.repeat(copies, 1), many)
        expect_shape(found, (copies * ROWS,), f"log_prob of {copies * ROWS:,} rows")
        expect_close(found[-ROWS:], first, f"log_prob of the same rows among {copies * ROWS:,}")
        expect_close(anew.moments(parameters, many)[0][-ROWS:], mean, f"the mean among {copies * ROWS:,} rows")


@rule(REMEDY)
def stays_in_double_precision(subject: LikelihoodSubject) -> None:
    """`log_prob`, `moments` and `expected_log_prob` of float64 arguments compute nothing in single precision."""
    likelihood, parameters, y, f = subject.likelihood, subject.parameters(), subject.targets(), subject.outputs()
    expect_double(lambda: likelihood.log_prob(parameters, y, f), "log_prob")
    expect_double(lambda: likelihood.moments(parameters, f), "moments")
    if likelihood.closed_form:
        variance = torch.ones_like(f)
        expect_double(lambda: likelihood.expected_log_prob(parameters, y, f, variance), "expected_log_prob")


@rule("let what the options allow work, or bound them: Field(ge=…, le=…); a validator may refuse combinations")
def options_work_at_their_bounds(subject: LikelihoodSubject) -> None:
    """With every option at its bounds, or at each of its words, log p(y | f) is finite and one number a row."""
    y, f = subject.targets(), subject.outputs()
    for words, options in at_bounds(subject):
        likelihood = subject.plugin(options, subject.likelihood.target_scale)
        shape = subject.plugin.output_shape(options, subject.n_targets, subject.example.n_classes)
        if tuple(shape) != subject.out_shape:
            continue
        own = {
            name: torch.as_tensor(value, dtype=torch.float64) for name, value in likelihood.parameters(shape).items()
        }
        found = likelihood.log_prob(own, y, f)
        expect_shape(found, (ROWS,), f"log_prob with {words}")
        expect_finite(found, f"log_prob with {words}")
        expect(all(bool(value.isfinite().all()) for value in own.values()), f"parameters {own} with {words}")


RULES: tuple[Rule[LikelihoodSubject], ...] = (
    gradients_are_derivatives,
    neither_calls_nor_numbers_of_rows_matter,
    stays_in_double_precision,
    options_work_at_their_bounds,
)
