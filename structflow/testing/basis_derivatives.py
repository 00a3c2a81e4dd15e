"""What a basis function promises of its derivatives, which training and hypergradients take."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, jvp

from .basis_subject import BasisSubject
from .check import Complaint, Rule, expect, rule
from .differences import expect_gradients, is_right
from .numbers import Weights, expect_close, expect_finite

STEP = 1e-5
"""Half the distance of a central difference of gradients."""

FROM_DIFFERENCES = 1e-4
"""Relative error that central differences in float64 may have here."""

SEEDS = (3, 4), (5, 6)
"""Of the weights and the direction, for a first look and a second."""


def with_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """A smooth number that every output has part in, Σ a_i g_i + ½ Σ g_i² with a_i = cos i; and the output again."""
    a = torch.arange(output.numel(), dtype=output.dtype, device=output.device).cos().reshape(output.shape)
    return (a * output + 0.5 * output.square()).sum(), output


def total(subject: BasisSubject, weights: Weights, x: Tensor) -> Tensor:
    """That number for weights and inputs."""
    return with_output(subject.forward(weights, x))[0]


@rule("avoid square roots and norms at 0, division by what may vanish, and `where` around what isn't finite")
def gradients_are_finite(subject: BasisSubject) -> None:
    """Gradients by weights and inputs are finite at the start and at weights of 0, for inputs of 1, 10 and 0 times."""
    started = subject.started()
    zero = {name: torch.zeros_like(value) for name, value in started.items()}
    for weights, where in ((started, ""), (zero, " and weights of 0, where a prior pulls those that don't matter")):
        for factor in (1.0, 10.0, 0.0):
            slope = grad(lambda w, x: total(subject, w, x), argnums=(0, 1))
            by_weights, by_x = slope(weights, factor * subject.rows())
            for name, value in by_weights.items():
                expect_finite(value, f"gradient with respect to {name} at {factor:g} × normal inputs{where}")
            expect_finite(by_x, f"gradient with respect to x at {factor:g} × normal inputs{where}")


def points_of(subject: BasisSubject) -> dict[int, Weights]:
    """Weights, and the inputs as `x`, at two points by the seed of a direction."""
    return {
        seed: {**{f"weight {name}": value for name, value in subject.weights(seed=seed).items()}, "x": rows}
        for seed, rows in ((3, subject.rows(seed=7)), (4, subject.rows(seed=8)))
    }


def total_at(subject: BasisSubject, point: Weights) -> Tensor:
    """The number of `total` at a point of `points_of`."""
    return total(subject, {name: point[f"weight {name}"] for name in subject.shapes}, point["x"])


@rule(
    "leave derivatives to torch: no .detach(), .data, torch.no_grad() or rounding on the way from weights or x, and a "
    "`backward` of your own that is the derivative"
)
def gradients_are_derivatives(subject: BasisSubject) -> None:
    """Gradients by every weight and by the inputs are those of central differences, at one of two points."""
    expect_gradients(lambda point: total_at(subject, point), points_of(subject), "the gradient")


@rule("declare in `weight_shapes` only what `forward` uses; the number of weights is part of a structure's complexity")
def every_weight_counts(subject: BasisSubject) -> None:
    """Every declared weight has influence on the output for some of the inputs."""
    found = {name: torch.zeros_like(value) for name, value in subject.weights().items()}
    for seed in (1, 2, 3):
        slopes = grad(lambda w, x: total(subject, w, x))(subject.weights(seed=seed), subject.rows(seed=seed))
        for name, value in slopes.items():
            found[name] += value.abs()
    unused = [name for name, value in found.items() if not bool((value > 0).any())]
    expect(not unused, f"no influence of {', '.join(unused)}; declared are {subject.shapes}")


@rule("use operations that torch can differentiate twice, forward over reverse; no custom autograd without a jvp")
def curvature_exists(subject: BasisSubject) -> None:
    """Products of the second derivatives with a direction (jvp of grad) are finite, and right at one of two points."""
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


class KinkOrMistake(Complaint):
    """Second derivatives are finite, but not those of central differences."""


def expect_differences(subject: BasisSubject, of_weights: int, of_direction: int) -> None:
    """Complain where the product isn't finite or not that of central differences, at weights of one seed."""
    x, weights, direction = subject.rows(), subject.weights(seed=of_weights), subject.weights(seed=of_direction)

    def slope(at: Weights) -> Weights:
        found: Weights = grad(lambda w: total(subject, w, x))(at)
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


RULES: tuple[Rule[BasisSubject], ...] = (
    gradients_are_finite,
    gradients_are_derivatives,
    every_weight_counts,
    curvature_exists,
)
