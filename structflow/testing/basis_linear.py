"""What a basis function promises by `linear_in_weights`: its expectations are then taken exactly."""

from __future__ import annotations

import numpy as np
import torch

from .basis_members import MEMBERS
from .basis_subject import BasisSubject
from .check import Rule, expect, expect_refusal, rule
from .numbers import expect_close, expect_finite, expect_shape

MOST_WEIGHTS = 300
"""Weights beyond which only some of them are moved one by one."""


@rule("leave `linear_in_weights` false unless g(x; a·u + b·v) = a·g(x; u) + b·g(x; v)")
def linear_where_declared(subject: BasisSubject) -> None:
    """With `linear_in_weights`, g(x; 2u − 3v) = 2 g(x; u) − 3 g(x; v)."""
    if not subject.function.linear_in_weights or not subject.shapes:
        return
    first, second, x = subject.weights(seed=1), subject.weights(seed=9), subject.rows()
    mixed = {name: 2 * first[name] - 3 * second[name] for name in first}
    expected = 2 * subject.forward(first, x) - 3 * subject.forward(second, x)
    expect_close(subject.forward(mixed, x), expected, "forward of mixed weights")


@rule("return Σ_i φ_i(x)² Var(w_i) from `output_variance`: the forward pass with squared features and no weight twice")
def variance_is_that_of_the_output(subject: BasisSubject) -> None:
    """With `linear_in_weights`, `output_variance` is Σ_i g(x; e_i)² Var(w_i); without, it raises TypeError."""
    function, x = subject.function, subject.rows()
    if not function.linear_in_weights:
        expect_refusal(
            TypeError, lambda: function.output_variance(subject.weights(), x), "output_variance of a nonlinear function"
        )
        return
    if not subject.shapes:  # nothing varies, and it is never asked
        return
    variances = {name: value.square() + 0.1 for name, value in subject.weights().items()}
    places = [(name, index) for name, value in variances.items() for index in np.ndindex(*value.shape)]
    if len(places) > MOST_WEIGHTS:
        places = places[:: len(places) // MOST_WEIGHTS + 1]
        kept = {name: torch.zeros_like(value) for name, value in variances.items()}
        for name, index in places:
            kept[name][index] = variances[name][index]
        variances = kept
    expected = torch.zeros_like(subject.forward(variances, x))
    for name, index in places:
        unit = {other: torch.zeros_like(value) for other, value in variances.items()}
        unit[name][index] = 1.0
        expected += variances[name][index] * subject.forward(unit, x).square()
    found = function.output_variance(variances, x)
    expect_shape(found, tuple(expected.shape), "output_variance")
    expect_finite(found, "output_variance")
    expect_close(found, expected, "output_variance")
    several = {name: torch.stack([value] * MEMBERS) for name, value in variances.items()}
    lifted = torch.func.vmap(function.output_variance, (0, None))(several, x)
    expect_close(lifted, torch.stack([found] * MEMBERS), "output_variance over members")
    negative = bool((found < 0).any())
    expect(not negative, "a negative variance")


RULES: tuple[Rule[BasisSubject], ...] = (linear_where_declared, variance_is_that_of_the_output)
