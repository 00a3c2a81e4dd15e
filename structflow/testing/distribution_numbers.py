"""What a distribution over structure weights promises of derivatives, precision, and the vertices that it rounds to."""

from __future__ import annotations

from functools import partial
from itertools import product

import torch
from torch import Tensor

from ..plugins import Space
from .check import Rule, rule
from .differences import expect_gradients, flattened
from .distribution_cases import CASES, SAMPLES, SUM
from .numbers import DOUBLE, Weights, expect_close, expect_shape, uniform
from .precision import REMEDY, expect_double
from .subject import Subject


@rule(
    "leave derivatives to torch: no .detach(), rounding or argmax on the way from log s, the temperature or the noise"
)
def gradients_are_derivatives(subject: Subject) -> None:
    """Gradients of samples, log γ and densities are those of central differences."""
    plugin = subject.plugin
    for case in CASES[1::2]:
        space = case.space
        u = uniform(SAMPLES, case.functions, seed=6)

        def of_samples(point: Weights, space: Space = space, u: Tensor = u) -> Tensor:
            found = plugin.sample(space, point["log s"], point["temperature"], u)
            return flattened(plugin.log_gamma(space, found).exp())

        log_s, temperature = case.concentration(), torch.tensor(0.8, dtype=DOUBLE)
        point = {"log s": log_s, "temperature": temperature}
        expect_gradients(of_samples, {1: point}, f"the gradient of γ, {case},")
        fixed = plugin.sample(space, log_s, temperature, u)

        def of_density(point: Weights, space: Space = space, fixed: Tensor = fixed) -> Tensor:
            found: Tensor = plugin.log_prob(space, point["log s"], point["temperature"], fixed)
            return flattened(found)

        expect_gradients(of_samples, {1: point}, f"the gradient of γ, {case},")
        expect_gradients(of_density, {1: point}, f"the gradient of log_prob, {case},")


@rule(REMEDY)
def stays_in_double_precision(subject: Subject) -> None:
    """Samples and densities of float64 arguments compute nothing in single precision."""
    plugin = subject.plugin
    for case in CASES:
        log_s, c = case.concentration(), torch.tensor(0.8, dtype=DOUBLE)
        u = uniform(SAMPLES, case.functions, seed=6)
        found = plugin.sample(case.space, log_s, c, u)
        computations = {
            "sample": partial(plugin.sample, case.space, log_s, c, u),
            "log_gamma": partial(plugin.log_gamma, case.space, found),
            "log_prob": partial(plugin.log_prob, case.space, log_s, c, found),
            "rounding_probabilities": partial(plugin.rounding_probabilities, case.space, log_s),
        }
        for name, compute in computations.items():
            expect_double(compute, f"{name}, {case},")


@rule("return log P(the rounded γ is this vertex), summed over the functions: structures are ranked by it")
def vertices_have_the_probabilities_of_rounding(subject: Subject) -> None:
    """P of all vertices sums to one, and the vertices that have a function sum to its rounding probability."""
    for case in CASES:
        log_s = case.concentration()
        if case.space == "one":
            chosen = torch.eye(case.functions, dtype=torch.bool)
        else:
            chosen = torch.tensor(list(product((False, True), repeat=case.functions)))
        chances = subject.plugin.vertex_log_prob(case.space, log_s, chosen).exp()
        expect_shape(chances, (len(chosen),), f"vertex_log_prob of {len(chosen)} vertices, {case},")
        expect_close(chances.sum(), torch.ones((), dtype=DOUBLE), f"the sum over vertices, {case},", SUM)
        of_function = (chances.unsqueeze(1) * chosen).sum(0)
        rounding = subject.plugin.rounding_probabilities(case.space, log_s)
        expect_close(of_function, rounding, f"P of the vertices with a function, {case},", SUM)


RULES: tuple[Rule[Subject], ...] = (
    gradients_are_derivatives,
    stays_in_double_precision,
    vertices_have_the_probabilities_of_rounding,
)
