"""What a basis function promises of its derivatives, and where it says that it is linear in its weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jvp

from .basis_members import MEMBERS
from .basis_subject import BasisSubject
from .check import Complaint, expect, expect_refusal, remedy
from .numbers import Weights, expect_close, expect_finite, expect_gradients, expect_shape, is_right

STEP = 1e-5
"""Half the distance of a central difference of gradients."""

FROM_DIFFERENCES = 1e-4
"""Relative error that central differences in float64 may have here."""

SEEDS = (3, 4), (5, 6)
"""Of the weights and the direction, for a first look and a second."""


def points_of(subject: BasisSubject) -> dict[int, Weights]:
    """Weights, and the inputs as `x`, at two points by the seed of a direction."""
    return {
        seed: {**{f"weight {name}": value for name, value in subject.weights(seed=seed).items()}, "x": rows}
        for seed, rows in ((3, subject.rows(seed=7)), (4, subject.rows(seed=8)))
    }


def total_at(subject: BasisSubject, point: Weights) -> Tensor:
    """The number of `total` at a point of `points_of`."""
    return subject.total({name: point[f"weight {name}"] for name in subject.shapes}, point["x"])


class KinkOrMistake(Complaint):
    """Second derivatives are finite, but not those of central differences."""


def expect_differences(subject: BasisSubject, of_weights: int, of_direction: int) -> None:
    """Complain where the product isn't finite or not that of central differences, at weights of one seed."""
    x, weights, direction = subject.rows(), subject.weights(seed=of_weights), subject.weights(seed=of_direction)

    def slope(at: Weights) -> Weights:
        found: Weights = grad(lambda w: subject.total(w, x))(at)
        return found

    products: Weights = jvp(slope, (weights,), (direction,))[1]
    for name, product in products.items():
        expect_finite(product, f"second derivative by {name}")
    sides = [
        slope({name: value + sign * STEP * direction[name] for name, value in weights.items()}) for sign in (1, -1)
    ]
    for name, product in products.items():
        differences = (sides[0][name] - sides[1][name]) / (2 * STEP)
        what = f"second derivative by {name} from central differences"
        try:
            expect_close(product, differences, what, FROM_DIFFERENCES)
        except Complaint as complaint:
            raise KinkOrMistake(str(complaint)) from None


MOST_WEIGHTS = 300
"""Weights beyond which only some of them are moved one by one."""


class BasisDerivativeTests:
    """First and second derivatives exist and are right."""

    @remedy("avoid square roots and norms at 0, division by what may vanish, and `where` around what isn't finite")
    def test_gradients_are_finite(self, subject: BasisSubject) -> None:
        """Gradients by weights and inputs are finite at the start and at weights of 0, for inputs times 1, 10 and 0."""
        started = subject.started()
        zero = {name: torch.zeros_like(value) for name, value in started.items()}
        for weights, where in ((started, ""), (zero, " and weights of 0, where a prior pulls those that don't matter")):
            for factor in (1.0, 10.0, 0.0):
                slope = grad(subject.total, argnums=(0, 1))
                by_weights, by_x = slope(weights, factor * subject.rows())
                for name, value in by_weights.items():
                    expect_finite(value, f"gradient with respect to {name} at {factor:g} × normal inputs{where}")
                expect_finite(by_x, f"gradient with respect to x at {factor:g} × normal inputs{where}")

    @remedy(
        "leave derivatives to torch: no .detach(), .data, torch.no_grad() or rounding from weights or x on, and "
        "a `backward` of your own that is the derivative"
    )
    def test_gradients_are_derivatives(self, subject: BasisSubject) -> None:
        """Gradients by every weight and by the inputs are those of central differences, at one of two points."""
        expect_gradients(lambda point: total_at(subject, point), points_of(subject), "the gradient")

    @remedy(
        "declare in `weight_shapes` only what `forward` uses; the number of weights is part of a structure's complexity"
    )
    def test_every_weight_counts(self, subject: BasisSubject) -> None:
        """Every declared weight has influence on the output for some of the inputs."""
        found = {name: torch.zeros_like(value) for name, value in subject.weights().items()}
        for seed in (1, 2, 3):
            slopes = grad(subject.total)(subject.weights(seed=seed), subject.rows(seed=seed))
            for name, value in slopes.items():
                found[name] += value.abs()
        unused = [name for name, value in found.items() if not bool((value > 0).any())]
        expect(not unused, f"no influence of {', '.join(unused)}; declared are {subject.shapes}")

    @remedy("use operations that torch can differentiate twice, forward over reverse; no custom autograd without a jvp")
    def test_curvature_exists(self, subject: BasisSubject) -> None:
        """Second derivatives times a direction (jvp of grad) are finite, and right at one of two points."""
        if not subject.shapes:
            return
        try:
            expect_differences(subject, *SEEDS[0])
        except KinkOrMistake:
            # a kink within the step of a central difference is bad luck, and hardly comes twice
            try:
                expect_differences(subject, *SEEDS[1])
            except KinkOrMistake:
                # where the first derivative is wrong, that is the fault, and another rule tells of it
                if is_right(lambda point: total_at(subject, point), points_of(subject)):
                    raise

    @remedy("leave `linear_in_weights` false unless g(x; a·u + b·v) = a·g(x; u) + b·g(x; v)")
    def test_linear_where_declared(self, subject: BasisSubject) -> None:
        """With `linear_in_weights`, g(x; 2u − 3v) = 2 g(x; u) − 3 g(x; v)."""
        if not subject.function.linear_in_weights or not subject.shapes:
            return
        first, second, x = subject.weights(seed=1), subject.weights(seed=9), subject.rows()
        mixed = {name: 2 * first[name] - 3 * second[name] for name in first}
        expected = 2 * subject.forward(first, x) - 3 * subject.forward(second, x)
        expect_close(subject.forward(mixed, x), expected, "forward of mixed weights")

    @remedy(
        "return Σ_i φ_i(x)² Var(w_i) from `output_variance`: the forward pass with squared features and no weight twice"
    )
    def test_variance_is_that_of_the_output(self, subject: BasisSubject) -> None:
        """With `linear_in_weights`, `output_variance` is Σ_i g(x; e_i)² Var(w_i); without, it raises TypeError."""
        function, x = subject.function, subject.rows()
        if not function.linear_in_weights:
            expect_refusal(
                TypeError,
                lambda: function.output_variance(subject.weights(), x),
                "output_variance of a nonlinear function",
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
