"""What a likelihood promises of E log p(y | f) where it has a closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from .check import remedy
from .likelihood_grid import ROWS, given
from .likelihood_subject import LikelihoodSubject
from .numbers import DOUBLE, expect_close, expect_finite, expect_shape


class Quadrature(NamedTuple):
    """Nodes of a standard normal number along one axis, their weights, and the relative error that is allowed."""

    nodes: Tensor
    weights: Tensor
    tolerance: float


def trapezoid(points: int, deviations: float, tolerance: float) -> Quadrature:
    """Equally spaced nodes, for log densities that may have kinks in f."""
    nodes = torch.linspace(-deviations, deviations, points, dtype=DOUBLE)
    weights = (-0.5 * nodes.square()).exp()
    return Quadrature(nodes, weights / weights.sum(), tolerance)


def gauss_hermite(points: int, tolerance: float) -> Quadrature:
    """Few nodes, where there are too many axes for others; a kink makes errors of up to a percent."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return Quadrature(torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum()), tolerance)


QUADRATURES = {
    1: trapezoid(20_001, 12.0, 1e-5),
    2: trapezoid(201, 8.0, 1e-3),
    3: gauss_hermite(20, 1e-2),
    4: gauss_hermite(12, 1e-2),
}
"""By the number of values of the output node."""


def examined(subject: LikelihoodSubject, n_targets: int) -> bool:
    """Whether quadrature over so many targets is possible; complains where it finds another expectation."""
    likelihood = subject.over(n_targets)
    parameters, mean = given(subject, n_targets)
    y = subject.targets(n_targets=n_targets)[:ROWS]
    shape = mean.shape[1:]
    axes = math.prod(shape)
    # unlike variances tell targets apart
    variance = (0.1 + 0.3 * mean.square()) * (1 + torch.arange(axes, dtype=DOUBLE)).reshape(shape)
    found = likelihood.expected_log_prob(parameters, y, mean, variance)
    expect_shape(found, (ROWS,), "expected_log_prob")
    expect_finite(found, "expected_log_prob")
    at_a_point = likelihood.expected_log_prob(parameters, y, mean, torch.zeros_like(mean))
    expect_close(at_a_point, likelihood.log_prob(parameters, y, mean), "expected_log_prob without variance")
    several = vmap(likelihood.expected_log_prob, (None, None, 0, 0))(
        parameters, y, torch.stack([mean, mean]), torch.stack([variance, variance])
    )
    expect_close(several, torch.stack([found, found]), "expected_log_prob over members")
    if axes not in QUADRATURES:
        return False
    nodes, weights, tolerance = QUADRATURES[axes]
    places = torch.cartesian_prod(*[nodes] * axes).reshape(-1, 1, *shape)
    chances = torch.cartesian_prod(*[weights] * axes).reshape(-1, axes).prod(1)
    f = (mean + places * variance.sqrt()).flatten(0, 1)
    at_nodes = likelihood.log_prob(parameters, y.repeat(len(places), 1), f).reshape(-1, ROWS)
    what = "expected_log_prob" if n_targets == 1 else f"expected_log_prob of {n_targets} targets"
    expect_close(found, chances @ at_nodes, what, tolerance)
    return True


class LikelihoodExpectationTests:
    """A closed form is the expectation."""

    @remedy("derive `expected_log_prob` again: E log p(y | f) for independent normal values of the output node")
    def test_closed_form_is_the_expectation(self, subject: LikelihoodSubject) -> None:
        """Where `closed_form` holds, `expected_log_prob` is quadrature of `log_prob`, for one target and two."""
        if not subject.over(1).closed_form:
            return
        numbers = (1,) if subject.plugin.target == "classes" else (1, 2)
        left_out = [number for number in numbers if not examined(subject, number)]
        if left_out:
            values = math.prod(subject.shape_over(left_out[0]))
            pytest.skip(f"no quadrature over the {values} values of the output node for {left_out[0]} targets")
