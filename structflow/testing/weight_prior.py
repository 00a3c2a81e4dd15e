"""What a prior of the weights promises: a density, its scale, its expectation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import grad, vmap

from .check import expect, remedy
from .numbers import DOUBLE, expect_close, expect_finite, expect_shape
from .plugin_tests import PluginTests
from .subject import Subject

SCALES = (1e-3, 1.0, 1e3)
"""Scales A^−½ of the priors that are tried, and of the weights."""

POINTS = 200_001
REACH = 60.0
"""Quadrature in t = log w: points, evenly over ±`REACH` around the scale."""

MASS, EXPECTED = 1e-6, 1e-6
"""Errors allowed of the mass and of expectations, beside their size."""


def log_precision_of(scale: float) -> Tensor:
    """log A, ()."""
    return torch.tensor(-2 * math.log(scale), dtype=DOUBLE)


def log_prob(subject: Subject, weights: Tensor, log_precision: Tensor) -> Tensor:
    """log p of each weight."""
    found: Tensor = subject.plugin.log_prob(subject.options, weights, log_precision)
    return found


class WeightPriorTests(PluginTests):
    """Tests of one prior of the weights."""

    kind = "weight_priors"

    @remedy("return the log density with its constants: structures of different size are compared by it")
    def test_density_is_normalised(self, subject: Subject) -> None:
        """∫ p(w) dw is 1 for scales from 1e-3 to 1e3, by quadrature over log |w|."""
        for scale in SCALES:
            t = torch.linspace(-REACH, REACH, POINTS, dtype=DOUBLE) + math.log(scale)
            density = 2 * (log_prob(subject, t.exp(), log_precision_of(scale)) + t).exp()
            mass = float(torch.trapezoid(density, t))
            expect(abs(mass - 1) < MASS, f"a mass of {mass:.9g} at the scale {scale:g}")

    @remedy("let A^−½ be the scale: p(w | A) = √A p(√A w | 1), the same for −w")
    def test_precision_is_a_scale(self, subject: Subject) -> None:
        """log p(w | A) = ½ log A + log p(√A w | 1), and p(w) = p(−w)."""
        unit = torch.tensor([0.01, 0.3, 1.0, 4.0, 30.0], dtype=DOUBLE)
        at_one = log_prob(subject, unit, log_precision_of(1.0))
        for scale in SCALES:
            log_precision = log_precision_of(scale)
            expect_close(
                log_prob(subject, scale * unit, log_precision), at_one + 0.5 * log_precision, f"log p at {scale:g}"
            )
            mirrored = log_prob(subject, -scale * unit, log_precision)
            expect_close(mirrored, at_one + 0.5 * log_precision, f"log p of −w at {scale:g}")

    @remedy("broadcast weights against log A, element by element, without branching on values")
    def test_shapes_broadcast(self, subject: Subject) -> None:
        """A number for each weight, of members and samples, under `vmap`, with finite gradients, and at w = 0."""
        weights = torch.tensor([[0.0, 0.5, -2.0], [1.0, -1e3, 1e-3]], dtype=DOUBLE)
        log_precision = torch.tensor([[0.0], [2.0]], dtype=DOUBLE)
        found = log_prob(subject, weights, log_precision)
        expect_shape(found, (2, 3), "log p")
        expect_finite(found, "log p")
        lifted = vmap(lambda w, a: log_prob(subject, w, a))(weights, log_precision)
        expect_close(lifted, found, "log p under vmap")
        for name, slope in zip(
            ("weights", "log A"),
            grad(lambda w, a: log_prob(subject, w, a).sum(), argnums=(0, 1))(weights, log_precision),
            strict=True,
        ):
            expect_finite(slope, f"the gradient by {name}")
        single = log_prob(subject, weights.float(), log_precision.float())
        expect(single.dtype == torch.float32, f"{single.dtype} from float32")
        there = weights != 0  # where a density is infinite it ends with the smallest number of the dtype
        expect_close(single.double()[there], found[there], "log p in float32", 1e-5)

    @remedy("compare `expected_log_prob` with an integral of `log_prob` over N(μ, σ²)")
    def test_expectation_is_exact(self, subject: Subject) -> None:
        """With a closed form, E log p(w) is that of the trapezoidal rule over ±9 σ, for scales from 1e-3 to 1e3."""
        if not subject.plugin.closed_form:
            return
        z = torch.linspace(-9, 9, POINTS, dtype=DOUBLE)
        weight = (-0.5 * z.square()).exp()
        weight = weight / weight.sum()
        for scale in SCALES:
            for mean in (0.0, 0.3, -3.0):
                for sd in (1e-2, 1.0, 10.0):
                    mu, variance = (torch.tensor(value, dtype=DOUBLE) for value in (mean * scale, (sd * scale) ** 2))
                    log_precision = log_precision_of(scale)
                    wanted = (weight * log_prob(subject, mu + sd * scale * z, log_precision)).sum()
                    found = subject.plugin.expected_log_prob(subject.options, mu, variance, log_precision)
                    what = f"E log p for N({mean:g}, {sd:g}²) in units of the scale {scale:g}"
                    expect_close(found, wanted, what, EXPECTED)

    @remedy("say `is_normal` only of N(0, 1/A): evidence in closed form rests on it")
    def test_normal_is_normal(self, subject: Subject) -> None:
        """One that `is_normal` has the density of N(0, 1/A), and a closed form."""
        if not subject.plugin.is_normal:
            return
        expect(subject.plugin.closed_form, "is_normal without closed_form")
        w = torch.tensor([0.0, 0.5, -2.0], dtype=DOUBLE)
        for scale in SCALES:
            wanted = torch.distributions.Normal(torch.zeros_like(w), scale).log_prob(scale * w)
            expect_close(log_prob(subject, scale * w, log_precision_of(scale)), wanted, f"log p at the scale {scale:g}")
