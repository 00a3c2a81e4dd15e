"""A mode of log p(y, w | h) near the mean of q(w), of every member at once.

L-BFGS (Nocedal and Wright 2006, section 7.2) comes near it for the price of gradients, then Newton's method ends
there. Its steps use |H|, the Hessian with its eigenvalues made positive, so that they leave saddle points (Dauphin et
al. 2014).
How far a point is from its mode is told in nats, by ½ gᵀ|H|⁻¹g: what a quadratic U would still lose. Members that have
arrived, or whom no shorter step takes lower, stay where they are, whatever the others do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .scaled_energy import ScaledEnergy

MEMORY = 12
"""Pairs of steps and changes of the gradient that L-BFGS remembers."""

MOST_GRADIENTS = 400
"""Steps of L-BFGS at most."""

NEAR = 1e-3
"""Square of the gradient's norm at which L-BFGS hands over."""

MOST_NEWTON_STEPS = 30
"""Steps of Newton's method at most, each with Hessians of its own."""

MOST_HALVINGS = 12
"""Times that a step is halved before it is given up."""

LEAST_GAIN = 1e-6
"""Nats that a step must bring for another one: at a kink steps become ever shorter."""

ARRIVED = 1e-9
"""Nats above its mode at which a member has arrived."""

LEAST_CURVATURE = 1e-10
"""Eigenvalues of H below this share of the largest are taken for 0."""


@dataclass(frozen=True)
class Modes:
    """Where the search ended: z (M, n), U (M,), H (M, n, n), its eigenvalues (M, n) ascending, ½ gᵀ|H|⁻¹g (M,)."""

    z: Tensor
    value: Tensor
    hessian: Tensor
    eigenvalues: Tensor
    excess: Tensor

    @property
    def is_definite(self) -> Tensor:
        """Whether H is positive definite, (M,)."""
        return self.eigenvalues[:, 0] > LEAST_CURVATURE * self.eigenvalues[:, -1]


def find_modes(energy: ScaledEnergy) -> Modes:
    """The modes reached from the means of q."""
    import torch

    with torch.no_grad():
        return newton(energy, lbfgs(energy, energy.start()))


def newton(energy: ScaledEnergy, z: Tensor) -> Modes:
    """Steps −|H|⁻¹g, halved until U falls, for members that have not arrived."""
    import torch

    moving = torch.ones(len(z), dtype=torch.bool, device=z.device)
    for step in range(MOST_NEWTON_STEPS + 1):
        value, gradient = energy.value_and_gradient(z)
        hessian = finite(energy.hessian(z))
        eigenvalues, vectors = torch.linalg.eigh(hessian)
        size = eigenvalues.abs()
        size = size.clamp(min=LEAST_CURVATURE * size.amax(1, keepdim=True))
        along = (vectors.mT @ gradient.unsqueeze(2)).squeeze(2)
        excess = 0.5 * (along.square() / size).sum(1)
        moving = moving & (excess > ARRIVED)
        if step == MOST_NEWTON_STEPS or not bool(moving.any()):
            break
        direction = -(vectors @ (along / size).unsqueeze(2)).squeeze(2)
        z, lower, _, moving = search(energy, z, value, gradient, direction, moving)
        moving = moving & (value - lower > LEAST_GAIN)
    return Modes(z, value, hessian, eigenvalues, excess)


def finite(hessian: Tensor) -> Tensor:
    """H, but −I for members where it isn't a number, so that it has eigenvalues and is seen not to be definite."""
    import torch

    known = hessian.isfinite().flatten(1).all(1).reshape(-1, 1, 1)
    return torch.where(known, hessian, -torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device))


def lbfgs(energy: ScaledEnergy, z: Tensor) -> Tensor:
    """Quasi-Newton steps until the gradient of every member is small or no step takes it lower: z (M, n)."""
    import torch

    value, gradient = energy.value_and_gradient(z)
    moving = torch.ones(len(z), dtype=torch.bool, device=z.device)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(MOST_GRADIENTS):
        moving = moving & (gradient.square().sum(1) > NEAR)
        if not bool(moving.any()):
            break
        direction = -inverse_product(pairs, gradient)
        new_z, new_value, new_gradient, moving = search(energy, z, value, gradient, direction, moving)
        moving = moving & (value - new_value > LEAST_GAIN)
        pairs = [*pairs, (new_z - z, new_gradient - gradient)][-MEMORY:]
        z, value, gradient = new_z, new_value, new_gradient
    return z


def inverse_product(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """The inverse Hessian that L-BFGS has learned, times the gradient, (M, n), by the two-loop recursion.

    Pairs (s, Δg) without positive curvature sᵀΔg are left out, member by member.
    """
    import torch

    result, kept = gradient, []
    scale = 1 / (1 + gradient.abs().amax(1, keepdim=True))
    for s, change in pairs:
        curvature = (s * change).sum(1, keepdim=True)
        usable = curvature > 1e-10 * s.norm(dim=1, keepdim=True) * change.norm(dim=1, keepdim=True)
        kept.append((s, change, torch.where(usable, 1 / torch.where(usable, curvature, 1.0), 0.0)))
        square = change.square().sum(1, keepdim=True)
        scale = torch.where(usable, curvature / torch.where(usable, square, 1.0), scale)
    weights = []
    for s, change, inverse in reversed(kept):
        weight = inverse * (s * result).sum(1, keepdim=True)
        result = result - weight * change
        weights.append(weight)
    result = scale * result
    for (s, change, inverse), weight in zip(kept, reversed(weights), strict=True):
        result = result + s * (weight - inverse * (change * result).sum(1, keepdim=True))
    return result


def search(
    energy: ScaledEnergy, z: Tensor, value: Tensor, gradient: Tensor, direction: Tensor, moving: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each member's step along its direction, halved until U falls by a share of what its slope promises.

    The new z, U and ∇U, and which members moved. A direction that doesn't lead down is replaced by −g.
    """
    import torch

    slope = (gradient * direction).sum(1)
    downhill = slope < 0
    direction = torch.where(downhill.unsqueeze(1), direction, -gradient)
    slope = torch.where(downhill, slope, -gradient.square().sum(1))
    length = torch.ones_like(value)
    found_z, found_value, found_gradient = z, value, gradient
    waiting = moving
    for _ in range(MOST_HALVINGS):
        trial = torch.where(waiting.unsqueeze(1), z + length.unsqueeze(1) * direction, found_z)
        trial_value, trial_gradient = energy.value_and_gradient(trial)
        lower = waiting & (trial_value <= value + 1e-4 * length * slope) & (trial_value < value)
        found_z = torch.where(lower.unsqueeze(1), trial, found_z)
        found_value = torch.where(lower, trial_value, found_value)
        found_gradient = torch.where(lower.unsqueeze(1), trial_gradient, found_gradient)
        waiting = waiting & ~lower
        if not bool(waiting.any()):
            break
        length = torch.where(waiting, 0.5 * length, length)
    return found_z, found_value, found_gradient, moving & ~waiting
