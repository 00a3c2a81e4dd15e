"""What a variational family of the weights promises: draws, moments, density, removed weights, the nearest q."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from .check import expect, remedy
from .numbers import DOUBLE, Weights, cast, expect_close, expect_finite, expect_shape, normal
from .plugin_tests import PluginTests
from .subject import Subject

SIZE = 5
"""Weights of the vectors that are tried."""

DRAWS = 20_000
STANDARD_ERRORS = 5.0
SLACK = 1e-9

SAME = 1e-6
"""Relative difference between two ways to the same density."""


def parameters_of(subject: Subject, seed: int = 1, scale: float = 0.3) -> Weights:
    """Parameters away from any special point."""
    mean, fan_in = normal(SIZE, seed=seed), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=DOUBLE)
    started: Weights = subject.plugin.start(subject.options, mean, fan_in)
    return {
        name: value + scale * normal(*value.shape, seed=seed + number) for number, (name, value) in
        enumerate(started.items(), start=1)
    }  # fmt: skip


def noise_of(subject: Subject, draws: int = DRAWS) -> Tensor:
    """Standard normals (draws, k)."""
    return normal(draws, subject.plugin.noise(subject.options, SIZE), seed=9)


def drawn(subject: Subject, parameters: Weights, noise: Tensor) -> Tensor:
    """Draws (draws, n)."""
    plugin, options = subject.plugin, subject.options
    found: Tensor = vmap(lambda each: plugin.draw(options, parameters, each))(noise)
    return found


def within_error(values: Tensor, expected: Tensor, what: str) -> None:
    """Complain unless the mean of values (draws, …) is as expected, up to five of its standard errors."""
    error = values.std(0) / math.sqrt(len(values))
    off = (values.mean(0) - expected).abs()
    shown = f"{what} is {values.mean(0).tolist()} ± {error.tolist()}, not {expected.tolist()}"
    expect(bool((off <= STANDARD_ERRORS * error + SLACK).all()), shown)


class WeightPosteriorTests(PluginTests):
    """Tests of one variational family of the weights."""

    kind = "weight_posteriors"

    @remedy(
        "return unconstrained tensors from `start`, `mean` (n,) among them, and their number from `parameter_count`"
    )
    def test_parameters_are_counted(self, subject: Subject) -> None:
        """`start` returns named tensors with the given `mean` among them; they are as many numbers as it says."""
        mean = normal(SIZE, seed=1)
        found = subject.plugin.start(subject.options, mean, torch.ones(SIZE, dtype=DOUBLE))
        expect("mean" in found, f"parameters {sorted(found)}")
        expect_close(found["mean"], mean, "the starting mean")
        for name, value in found.items():
            expect(value.dtype == DOUBLE, f"{name} in {value.dtype}")
            expect_finite(value, name)
        held, said = (
            sum(value.numel() for value in found.values()),
            subject.plugin.parameter_count(subject.options, SIZE),
        )
        expect(held == said, f"{held} numbers where parameter_count says {said}")

    @remedy("let `draw` add `mean` to what the noise and the other parameters make, whose mean is 0")
    def test_mean_moves_draws(self, subject: Subject) -> None:
        """Draws have the mean `mean`, and move with it as a whole, each by the same."""
        parameters, noise = parameters_of(subject), noise_of(subject)
        found = drawn(subject, parameters, noise)
        expect_shape(found, (DRAWS, SIZE), "draws")
        by = normal(SIZE, seed=5)
        moved = drawn(subject, {**parameters, "mean": parameters["mean"] + by}, noise)
        expect_close(moved, found + by, "draws after a move of the mean")
        within_error(found, parameters["mean"], "the mean of draws")

    @remedy("return the variance of each weight from `variance`; of a point 0")
    def test_variance_is_that_of_draws(self, subject: Subject) -> None:
        """`variance` is that of draws, weight by weight."""
        parameters = parameters_of(subject)
        away = drawn(subject, parameters, noise_of(subject)) - parameters["mean"]
        variance = subject.plugin.variance(subject.options, parameters)
        expect_shape(variance, (SIZE,), "the variance")
        within_error(away.square(), variance, "the variance of draws")

    @remedy("return log q, normalised, from `log_prob`, the same from `log_prob_of_draw`, and −E log q from `entropy`")
    def test_entropy_is_that_of_draws(self, subject: Subject) -> None:
        """`entropy` is −E log q(w) over draws, and the two forms of log q agree; of a point all three are 0."""
        plugin, options, parameters = subject.plugin, subject.options, parameters_of(subject)
        noise = noise_of(subject)
        weights = drawn(subject, parameters, noise)
        density = vmap(lambda each: plugin.log_prob(options, parameters, each))(weights)
        of_draws = vmap(lambda each: plugin.log_prob_of_draw(options, parameters, each))(noise)
        entropy = plugin.entropy(options, parameters)
        expect_shape(entropy, (), "the entropy")
        expect_shape(density, (DRAWS,), "log q")
        expect_close(of_draws, density, "log_prob_of_draw beside log_prob", SAME)
        if not plugin.has_density:
            expect(not bool(density.any()) and float(entropy) == 0, f"log q {density[0]:g} and entropy {entropy:g}")
            return
        within_error(-density, entropy, "−E log q")

    @remedy("compare `log_prob` with the distribution of `draw`: the Jacobian counts")
    def test_density_is_that_of_draws(self, subject: Subject) -> None:
        """E_q[p/q] is 1 for a p of the family near by, E_q[(p/q) w] its mean; a normal q has that of `columns`."""
        plugin, options, parameters = subject.plugin, subject.options, parameters_of(subject)
        if not plugin.has_density:
            return
        weights = drawn(subject, parameters, noise_of(subject))
        other = {**parameters, "mean": parameters["mean"] + 0.2 * plugin.variance(options, parameters).sqrt()}
        of_q, of_p = (
            vmap(lambda each, held=held: plugin.log_prob(options, held, each))(weights) for held in (parameters, other)
        )
        ratio = (of_p - of_q).exp()
        within_error(ratio, torch.ones((), dtype=DOUBLE), "E_q[p/q]")
        within_error(ratio.unsqueeze(1) * weights, other["mean"], "E_q[(p/q) w]")
        if plugin.is_normal:
            columns = plugin.columns(options, parameters)
            q = torch.distributions.MultivariateNormal(parameters["mean"], columns @ columns.mT)
            expect_close(of_q, q.log_prob(weights), "log q beside that of N(μ, C Cᵀ)", SAME)

    @remedy("say `independent` only where every weight has its own noise and parameters")
    def test_independence_is_true(self, subject: Subject) -> None:
        """Where weights are said to be independent, and q is normal, C Cᵀ is diagonal."""
        plugin = subject.plugin
        if plugin.independent and plugin.is_normal:
            columns = plugin.columns(subject.options, parameters_of(subject))
            covariance = columns @ columns.mT
            expect_close(covariance, torch.diag(covariance.diagonal()), "the covariance")

    @remedy("in `mask`, give removed weights mean 0, no correlation and one distribution without parameters")
    def test_removed_weights_depend_on_nothing(self, subject: Subject) -> None:
        """Removed weights have mean 0 and one distribution, whatever the parameters; removing twice is as once."""
        plugin, options = subject.plugin, subject.options
        kept, none = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=DOUBLE), torch.zeros(SIZE, dtype=DOUBLE)
        parameters, other = parameters_of(subject), parameters_of(subject, 2)
        masked, anew = (plugin.mask(options, each, kept) for each in (parameters, other))
        expect(set(masked) == set(parameters), f"parameters {sorted(masked)}, not {sorted(parameters)}")
        again = plugin.mask(options, masked, kept)
        for name, value in masked.items():
            expect_close(again[name], value, f"{name} after a second removal")
        removed = kept == 0
        expect_close(masked["mean"][removed], torch.zeros(2, dtype=DOUBLE), "the mean of removed weights")
        spread = plugin.variance(options, masked)[removed]
        expect_close(spread, spread[:1].expand(2), "the variance of one removed weight beside another's")
        expect_close(plugin.variance(options, anew)[removed], spread, "their variance under other parameters")
        alone = plugin.entropy(options, plugin.mask(options, parameters, none))
        expect_close(
            plugin.entropy(options, plugin.mask(options, other, none)), alone, "the entropy of removed weights"
        )
        apart = plugin.mask(options, {**parameters, "mean": none}, torch.tensor([0.0, 1, 0, 0, 0], dtype=DOUBLE))
        w, at = none.clone(), 0.7
        w[0] = at
        single = plugin.log_prob(options, apart, w) - plugin.log_prob(options, apart, none)
        w = plugin.log_prob(options, plugin.mask(options, parameters, none), at * (1 - none)) - plugin.log_prob(
            options, plugin.mask(options, parameters, none), none
        )
        expect_close(SIZE * single, w, "the log density of removed weights beside that of one")
        whole = plugin.mask(options, parameters, torch.ones(SIZE, dtype=DOUBLE))
        for name, value in parameters.items():
            same = plugin.variance(options, whole) if name != "mean" else whole[name]
            wanted = plugin.variance(options, parameters) if name != "mean" else value
            expect_close(same, wanted, "what removing nothing leaves")

    @remedy("let `nearest` minimise KL(q ‖ N(μ, P⁻¹)) = ½ [tr(P Σ) − log|Σ|] + …, over everything but the mean")
    def test_nearest_is_nearest(self, subject: Subject) -> None:
        """No parameters near those of `nearest` are nearer, and one that is `unrestricted` has the covariance P⁻¹."""
        plugin, options = subject.plugin, subject.options
        root, mean = normal(SIZE, SIZE, seed=3), normal(SIZE, seed=4)
        precision = root @ root.mT + torch.eye(SIZE, dtype=DOUBLE)
        given = precision.diagonal() if plugin.independent else precision
        found = plugin.nearest(options, mean, given)
        expect_close(found["mean"], mean, "the mean of the nearest q")
        if not plugin.is_normal:
            return

        def divergence(parameters: Weights) -> Tensor:
            columns = plugin.columns(options, parameters)
            spread: Tensor = 0.5 * (precision @ columns @ columns.mT).trace() - plugin.entropy(options, parameters)
            return spread

        least = divergence(found)
        for seed in range(8):
            near = {
                name: value + 0.01 * normal(*value.shape, seed=seed) for name, value in found.items() if name != "mean"
            }
            other = divergence({**near, "mean": mean})
            expect(bool(other >= least - 1e-7), f"a divergence of {float(other):.9g} near {float(least):.9g}")
        if plugin.unrestricted:
            columns = plugin.columns(options, found)
            expect_close(columns @ columns.mT, torch.linalg.inv(precision), "the covariance of the nearest q", SAME)

    @remedy("let `transform_back` undo `transform`, and the mean be T m")
    def test_coordinates_go_both_ways(self, subject: Subject) -> None:
        """`transform` makes the mean T m of m, and `transform_back` undoes it."""
        plugin, options, parameters = subject.plugin, subject.options, parameters_of(subject)
        matrix = normal(SIZE, SIZE, seed=6).tril(-1) + torch.diag(1 + normal(SIZE, seed=7).square())
        found = plugin.transform(options, parameters, matrix)
        expect_close(found["mean"], matrix @ parameters["mean"], "the mean in other coordinates")
        back = plugin.transform_back(options, found, matrix)
        again = plugin.transform(options, back, matrix)
        for name in parameters:
            expect_close(again[name], found[name], f"{name} there, back and there again", SAME)

    @remedy("write methods for one member, in torch's functions, without branching on values")
    def test_methods_can_be_lifted(self, subject: Subject) -> None:
        """Under `vmap` over members every method gives what it gives of each, in float32 too, with finite gradients."""
        plugin, options = subject.plugin, subject.options
        own = [parameters_of(subject, seed) for seed in (1, 2)]
        both = {name: torch.stack([each[name] for each in own]) for name in own[0]}
        noise = noise_of(subject, 2)

        def value(parameters: Weights, one: Tensor) -> Tensor:
            weights = plugin.draw(options, parameters, one)
            density = plugin.log_prob_of_draw(options, parameters, one) + plugin.entropy(options, parameters)
            total: Tensor = weights.square().sum() + density + plugin.variance(options, parameters).sum()
            return total

        lifted = vmap(value)(both, noise)
        for number, parameters in enumerate(own):
            expect_close(lifted[number], value(parameters, noise[number]), "a method of one member beside another")
        slopes: dict[str, Any] = grad(lambda held: vmap(value)(held, noise).sum())(both)
        for name, slope in slopes.items():
            expect_finite(slope, f"the gradient by {name}")
        single = value(cast(own[0], torch.float32), noise[0].float())
        expect(single.dtype == torch.float32, f"{single.dtype} from float32")
