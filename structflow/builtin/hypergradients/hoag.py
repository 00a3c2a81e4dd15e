"""The exact hypergradient by the implicit function theorem, with conjugate gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...plugins import Hypergradient, OuterGradient, TwoLevelOptions

if TYPE_CHECKING:
    from torch import Tensor

    from ...plugins import TwoLevelPoint

CHECK_EVERY = 8
"""Conjugate-gradient iterations between looks at whether all members have converged."""

USUAL_ITERATIONS = 20
"""Conjugate-gradient iterations that forecasts of time count on, where more are allowed."""

LEAST_TOLERANCE = 100.0
"""The tolerance tightens to this, in units of the rounding error of a number."""

MOST_ATTEMPTS = 8
"""Times that the damping of a member is raised before its response is given up."""

FIRST_DAMPING = 1e-4
"""First damping of a member whose H is indefinite, as a share of the largest curvature seen."""


class HoagOptions(TwoLevelOptions):
    """Keys of `optimizer.outer` with `type: hoag`."""

    iterations: int = Field(200, ge=1, description="Conjugate-gradient iterations for one hypergradient at most.")
    tolerance: float = Field(
        0.01, gt=0, lt=1, description="Residual of the first linear system, as a share of its right side."
    )
    tightening: float = Field(0.9, gt=0, le=1, description="Factor of the tolerance for each next hypergradient.")


class Hoag(Hypergradient):
    """dQ/dh = ∇_h Q − (∇²_{θh}(−L))ᵀ H⁻¹ ∇_θ Q at θ*, with H = ∇²_θθ(−L). Pedregosa (2016).

    H⁻¹∇_θ Q comes from conjugate gradients, all members at once, with a tolerance that tightens. H must be positive
    definite: where a member shows negative curvature, λI is added to its H and λ raised until it doesn't. `damping` (λ)
    and `residual` (relative) are reported.
    """

    type = "hoag"
    Options = HoagOptions
    levels = 2

    @staticmethod
    def cost(options: HoagOptions, samples: int) -> float:
        return (2 + 5 * min(options.iterations, USUAL_ITERATIONS)) * options.samples / samples

    @staticmethod
    def gradient(options: HoagOptions, point: TwoLevelPoint) -> OuterGradient:
        import torch

        of_q = point.outer_gradient()
        right = torch.where(point.of_theta, of_q, torch.zeros_like(of_q))
        least = LEAST_TOLERANCE * torch.finfo(right.dtype).eps
        tolerance = max(options.tolerance * options.tightening**point.iteration, least)
        solution, damping, residual = solve(point, right, tolerance, options.iterations)
        total = of_q - point.curvature_product(solution)
        gradient = torch.where(point.of_theta, torch.zeros_like(total), total)
        return OuterGradient(gradient, {"damping": damping, "residual": residual})


def solve(point: TwoLevelPoint, right: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """(H + λI)⁻¹ b for every member: the solution (P,), λ and the relative residual ‖b − (H + λI) x‖ / ‖b‖ (M,).

    λ is 0 where H shows no negative curvature along the way; the solution is 0, the residual 1, where no λ would do.
    """
    import torch

    zeros = torch.zeros_like(point.dot(right, right))
    damping, solution = zeros, torch.zeros_like(right)
    unsolved = torch.ones_like(zeros, dtype=torch.bool)
    for _ in range(MOST_ATTEMPTS):
        found, indefinite, largest = conjugate_gradients(point, right, damping, unsolved, tolerance, iterations)
        solved = unsolved & ~indefinite
        solution = torch.where(point.spread(solved), found, solution)
        unsolved = unsolved & indefinite
        if not bool(unsolved.any()):
            break
        raised = torch.maximum(10 * damping, FIRST_DAMPING * largest)
        damping = torch.where(unsolved, raised, damping)
    product = point.curvature_product(solution) + point.spread(damping) * solution
    rest = torch.where(point.of_theta, right - product, zeros[:1])
    size = point.dot(right, right)
    relative = (point.dot(rest, rest) / torch.where(size > 0, size, torch.ones_like(size))).sqrt()
    return solution, damping, relative


def conjugate_gradients(
    point: TwoLevelPoint, right: Tensor, damping: Tensor, wanted: Tensor, tolerance: float, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Conjugate gradients for (H + λI) x = b of the members that are `wanted`.

    Returns x (P,), and for every member whether negative curvature was met, and the largest curvature vᵀHv / vᵀv seen,
    (M,) each. Members that have converged stand still.
    """
    import torch

    solution, rest, direction = torch.zeros_like(right), right, right
    norm = point.dot(right, right)
    start = norm
    active = wanted & (norm > 0)
    indefinite = torch.zeros_like(wanted)
    largest = torch.zeros_like(norm)
    for iteration in range(iterations):
        if iteration % CHECK_EVERY == 0 and not bool(active.any()):
            break
        product = point.curvature_product(direction)
        product = torch.where(point.of_theta, product, torch.zeros_like(product))
        length = point.dot(direction, direction)
        curvature = point.dot(direction, product)
        largest = torch.where(active, torch.maximum(largest, curvature.abs() / length), largest)
        curvature = curvature + damping * length
        indefinite = indefinite | (active & ~(curvature > 0))
        active = active & (curvature > 0)
        step = torch.where(active, norm / curvature, torch.zeros_like(norm))
        solution = solution + point.spread(step) * direction
        rest = rest - point.spread(step) * (product + point.spread(damping) * direction)
        new_norm = point.dot(rest, rest)
        active = active & (new_norm > tolerance**2 * start)
        turn = torch.where(active, new_norm / norm, torch.zeros_like(norm))
        direction = torch.where(point.spread(active), rest + point.spread(turn) * direction, direction)
        norm = torch.where(wanted, new_norm, norm)
    return solution, indefinite, largest
