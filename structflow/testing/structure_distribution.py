"""What a distribution over structure weights promises: samples, densities, rounding, gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, get_args

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..plugins import Space
from .check import expect, remedy
from .numbers import (
    DOUBLE,
    REMEDY,
    Weights,
    expect_close,
    expect_double,
    expect_finite,
    expect_gradients,
    expect_shape,
    flattened,
    normal,
    uniform,
)
from .plugin_tests import PluginTests
from .subject import Subject

SPACES: tuple[Space, ...] = get_args(Space)
MOST_FUNCTIONS = 4
MEMBERS, SAMPLES = 3, 5
SUM = 1e-9
"""Error of a sum of γ."""


@dataclass(frozen=True)
class Case:
    """One edge: its space and the number K of its functions."""

    space: Space
    functions: int

    def __str__(self) -> str:
        return f"choose: {self.space} of K = {self.functions}"

    def concentration(self, *leading: int, seed: int = 1) -> Tensor:
        """log s, (…, K)."""
        return 0.5 * normal(*leading, self.functions, seed=seed)


CASES = [Case(space, functions) for space in SPACES for functions in range(1, MOST_FUNCTIONS + 1)]


DRAWS = 20_000
STANDARD_ERRORS = 5.0


def drawn(subject: Subject, case: Case, log_concentration: Tensor, temperature: Tensor, seed: int = 3) -> Tensor:
    """Coordinates of DRAWS samples, (DRAWS, K)."""
    found: Tensor = subject.plugin.sample(
        case.space, log_concentration, temperature, uniform(DRAWS, case.functions, seed=seed)
    )
    return found


def rounded(values: Tensor) -> list[float]:
    """Numbers to four digits."""
    return [float(f"{value:.4g}") for value in values.tolist()]


class StructureDistributionTests(PluginTests):
    """Tests of one distribution over structure weights."""

    kind = "structure_distributions"

    @remedy(
        "broadcast leading axes as torch does; the temperature has no axis of functions: use temperature.unsqueeze(-1)"
    )
    def test_shapes_broadcast(self, subject: Subject) -> None:
        """Members and samples are leading axes: γ is (…, K) and densities (…), as in a loop over members, for any K."""
        plugin = subject.plugin
        for case in CASES:
            log_s, temperature = case.concentration(MEMBERS, 1), 0.5 + uniform(MEMBERS, 1, seed=4)
            u = uniform(MEMBERS, SAMPLES, case.functions, seed=5)
            found = plugin.sample(case.space, log_s, temperature, u)
            log_gamma = plugin.log_gamma(case.space, found)
            density = plugin.log_prob(case.space, log_s, temperature, found)
            rounding = plugin.rounding_probabilities(case.space, log_s)
            expect_shape(log_gamma, (MEMBERS, SAMPLES, case.functions), f"log γ, {case},")
            expect_shape(density, (MEMBERS, SAMPLES), f"log_prob, {case},")
            expect_shape(rounding, (MEMBERS, 1, case.functions), f"rounding_probabilities, {case},")
            for member in range(MEMBERS):
                own = plugin.sample(case.space, log_s[member, 0], temperature[member, 0], u[member])
                expect_close(own, found[member], f"a sample of one member, {case},")
                expect_close(plugin.log_gamma(case.space, own), log_gamma[member], f"log γ of one member, {case},")
                alone = plugin.log_prob(case.space, log_s[member, 0], temperature[member, 0], own)
                expect_close(alone, density[member], f"log_prob of one member, {case},")
            lifted = vmap(lambda s, c, x, case=case: plugin.log_prob(case.space, s, c, x))(log_s, temperature, found)
            expect_close(lifted, density, f"log_prob under vmap, {case},")

    @remedy("return log γ ≤ 0 from `log_gamma`, with logsumexp 0 for `one`; repeat samples for equal uniforms")
    def test_gamma_is_in_its_space(self, subject: Subject) -> None:
        """γ is in [0, 1], for `one` it sums to 1, and it is the same for the same uniforms."""
        for case in CASES:
            log_s, temperature = case.concentration(), torch.tensor(0.5, dtype=DOUBLE)
            found = drawn(subject, case, log_s, temperature)
            expect_close(drawn(subject, case, log_s, temperature), found, f"the second sample, {case},", 0.0)
            log_gamma = subject.plugin.log_gamma(case.space, found)
            expect(not bool(torch.isnan(log_gamma).any()), f"log γ is NaN, {case}")
            gamma = log_gamma.exp()
            expect(bool((gamma <= 1 + SUM).all()), f"γ up to {float(gamma.max()):g}, {case}")
            if case.space == "one":
                expect_close(gamma.sum(-1), torch.ones(DRAWS, dtype=DOUBLE), f"the sum of γ, {case},", SUM)

    @remedy(
        "compare log_prob with the density of `sample` in its own coordinates: Jacobian and constants in K and c count"
    )
    def test_densities_are_relative(self, subject: Subject) -> None:
        """E_q[p/q] is 1 for samples of q and another p of the family, so that a KL made of log densities is one."""
        for case in CASES:
            log_q, log_p = case.concentration(seed=1), case.concentration(seed=2)
            c_q, c_p = torch.tensor(0.8, dtype=DOUBLE), torch.tensor(0.9, dtype=DOUBLE)
            found = drawn(subject, case, log_q, c_q)
            densities = (
                subject.plugin.log_prob(case.space, log_s, c, found) for log_s, c in ((log_p, c_p), (log_q, c_q))
            )
            of_p, of_q = densities
            expect_finite(of_q, f"log q at its own samples, {case}")
            ratio = (of_p - of_q).exp()
            error = float(ratio.std()) / math.sqrt(DRAWS)
            off = abs(float(ratio.mean()) - 1)
            expect(off <= STANDARD_ERRORS * error + SUM, f"E_q[p/q] = {1 + off:.5g} ± {error:.2g}, {case}")

    @remedy(
        "let log_prob depend on log s and the temperature as the density of `sample` does: its differences make the KL"
    )
    def test_densities_move_samples(self, subject: Subject) -> None:
        """E_q[(p/q) γ_l] is E_p[γ_l]: samples of q, weighted by log_prob's ratio, have the mean of samples of p."""
        for case in CASES:
            log_q, log_p = case.concentration(seed=1), case.concentration(seed=2)
            c_q, c_p = torch.tensor(0.8, dtype=DOUBLE), torch.tensor(0.9, dtype=DOUBLE)
            of_q, of_p = drawn(subject, case, log_q, c_q), drawn(subject, case, log_p, c_p, seed=8)
            densities = (
                subject.plugin.log_prob(case.space, log_s, c, of_q) for log_s, c in ((log_p, c_p), (log_q, c_q))
            )
            at_p, at_q = densities
            gamma_q, gamma_p = (subject.plugin.log_gamma(case.space, found).exp() for found in (of_q, of_p))
            weighted = (at_p - at_q).exp().unsqueeze(-1) * gamma_q
            error = ((weighted.var(0) + gamma_p.var(0)) / DRAWS).sqrt()
            found, wanted = weighted.mean(0), gamma_p.mean(0)
            fits = bool(((found - wanted).abs() <= STANDARD_ERRORS * error + SUM).all())
            shown = f"E_q[(p/q) γ] = {rounded(found)} where E_p[γ] = {rounded(wanted)}, errors {rounded(error)}"
            expect(fits, f"{shown}, {case}")

    @remedy("return P(argmax γ = l) for `one` and P(γ_l > ½) for `any`; rankings of relaxed members are made of them")
    def test_rounding_is_that_of_samples(self, subject: Subject) -> None:
        """`rounding_probabilities` are frequencies of rounded samples, and for `one` sum to 1, at any temperature."""
        for case in CASES:
            log_s = case.concentration()
            probabilities = subject.plugin.rounding_probabilities(case.space, log_s)
            inside = bool(((probabilities >= 0) & (probabilities <= 1 + SUM)).all())
            expect(inside, f"probabilities {probabilities.tolist()}, {case}")
            if case.space == "one":
                expect_close(probabilities.sum(), torch.ones((), dtype=DOUBLE), f"their sum, {case},", SUM)
            for c in (0.3, 1.5):
                log_gamma = subject.plugin.log_gamma(
                    case.space, drawn(subject, case, log_s, torch.tensor(c, dtype=DOUBLE))
                )
                picked = log_gamma > math.log(0.5)
                if case.space == "one":
                    picked = torch.nn.functional.one_hot(log_gamma.argmax(-1), case.functions).bool()
                frequencies = picked.double().mean(0)
                error = (probabilities * (1 - probabilities) / DRAWS).clamp(min=0).sqrt()
                off = (frequencies - probabilities).abs()
                fits = bool((off <= STANDARD_ERRORS * error + SUM).all())
                shown = f"{probabilities.tolist()}; rounded samples have {frequencies.tolist()}"
                expect(fits, f"{shown}, {case}, temperature {c:g}")

    @remedy("keep everything in logarithms, and let samples follow log s and the temperature (no detach, no argmax)")
    def test_gradients_reach_the_parameters(self, subject: Subject) -> None:
        """Samples and densities have finite gradients by log s and by the temperature, which samples depend on."""
        for case in CASES:

            def total(log_s: Tensor, c: Tensor, case: Case = case) -> Tensor:
                found = subject.plugin.sample(case.space, log_s, c, uniform(SAMPLES, case.functions, seed=6))
                density = subject.plugin.log_prob(case.space, log_s.detach(), c.detach(), found)
                value: Tensor = density.sum() + subject.plugin.log_gamma(case.space, found).exp().square().sum()
                return value

            slopes = grad(total, argnums=(0, 1))(case.concentration(), torch.tensor(0.5, dtype=DOUBLE))
            for name, slope in zip(("log s", "the temperature"), slopes, strict=True):
                expect_finite(slope, f"gradient by {name}, {case}")
                chooses = case.space == "any" or case.functions > 1
                expect(not chooses or bool((slope != 0).any()), f"samples don't depend on {name}, {case}")

    @remedy("make tensors where the arguments are; no .cpu(), .item() or numpy")
    def test_works_on_any_device(self, subject: Subject) -> None:
        """Everything runs on device `meta`, which has shapes but no numbers."""
        for case in CASES:
            log_s, c = case.concentration(MEMBERS, 1).to("meta"), torch.ones(MEMBERS, 1, dtype=DOUBLE, device="meta")
            found = subject.plugin.sample(
                case.space, log_s, c, torch.ones(MEMBERS, SAMPLES, case.functions, device="meta")
            )
            values = (
                subject.plugin.log_gamma(case.space, found),
                subject.plugin.log_prob(case.space, log_s, c, found),
                subject.plugin.rounding_probabilities(case.space, log_s),
            )
            expect(all(value.device.type == "meta" for value in values), f"a result on another device, {case}")

    @remedy("return a list of K finite numbers, equal ones for a prior without preference")
    def test_prior_starts_finite(self, subject: Subject) -> None:
        """`prior_log_concentration` gives K finite numbers for either space."""
        for case in CASES:
            found: Any = subject.plugin.prior_log_concentration(case.space, subject.options, case.functions)
            fits = len(found) == case.functions and all(math.isfinite(value) for value in found)
            expect(fits, f"{found!r}, {case}")

    @remedy("leave derivatives to torch: no .detach(), rounding or argmax from log s, temperature or noise on")
    def test_gradients_are_derivatives(self, subject: Subject) -> None:
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

    @remedy(REMEDY)
    def test_stays_in_double_precision(self, subject: Subject) -> None:
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

    @remedy("return log P(the rounded γ is this vertex), summed over the functions: structures are ranked by it")
    def test_vertices_have_the_probabilities_of_rounding(self, subject: Subject) -> None:
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
