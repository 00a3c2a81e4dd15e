"""The end of a stage under the evidence of the curvature: the way to the mode, and the best h that is met near it.

Where the noise is small, gradient steps of θ leave the weights some way from their mode, and Laplace's evidence, which
holds at a mode, is then off. So the stage ends with damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963),

    w ← w − (Gᵀ G + (1 + μ) A)⁻¹ g,   g = −∇ log p(y, w | h),

where every member has a μ of its own, which falls with each step that lowers −log p and rises with each that doesn't.
They alternate with steps of h. The gradient with respect to h neglects the dependence of J on h, so the evidence may
fall after it rose: each member keeps the point at which its evidence was highest, like the early stopping of Immer et
al. (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..objective.laplace_evidence import LaplaceEvidence
from ..objective.linearised import Linearised
from ..objective.members import Own, stack, unstack
from ..objective.parameters import Parameters, Role
from ..objective.weight_vectors import PopulationWeights

MOST_ROUNDS = 6
"""Rounds of steps towards the mode at most, with steps of h between them."""

MOST_STEPS = 6
"""Steps of the weights in a round at most."""

MOST_TRIALS = 6
"""Dampings of a step that are tried at most."""

FIRST_DAMPING, LOWER, HIGHER = 1e-2, 1 / 3, 4.0
"""μ at first, and what it is multiplied by after a step that is taken, and after one that isn't."""

ENOUGH = 1e-2
"""Nats below which a step is the last of its round."""

DECAYS = 0.9, 0.99
"""Of the means of the gradient with respect to h and of its square."""


@dataclass(frozen=True)
class Mode:
    """Parameters in float64 where every member's evidence was highest, and ½ gᵀH⁻¹g there in nats, (M,)."""

    parameters: Parameters
    left_to_gain: np.ndarray


@dataclass
class ModeSearch:
    """A population on its rows, which count as `row_weights` (M, rows) says; h are the parameters with roles `of_h`."""

    vectors: PopulationWeights
    row_weights: Tensor | None
    of_h: Sequence[Role]
    rate: float
    steps: int

    def best(self) -> Mode:
        """For every member the mode with the highest evidence among those visited, starting from the vectors."""
        bound, parameters = self.vectors.bound, self.vectors.parameters
        members = bound.population.size
        damping = torch.full((members,), FIRST_DAMPING).to(self.vectors.mean)
        highest, left = torch.full_like(damping, -torch.inf), torch.full_like(damping, torch.nan)
        active = torch.ones_like(damping, dtype=torch.bool)
        found: Sequence[Own] = unstack(parameters, bound)
        ascent = AscentOfH(self.of_h, self.rate)
        learns_h = any(bound.by_label[label].role in self.of_h for label in bound.labelled(parameters))
        rounds = MOST_ROUNDS if learns_h else 1
        for number in range(rounds):
            parameters, damping = self.at_mode(parameters, damping)
            evidence = self.evidence(parameters)
            value = evidence.value(parameters)
            better = active & (value > highest)
            rows = zip(unstack(parameters, bound), found, better.tolist(), strict=True)
            found = [own if is_better else before for own, before, is_better in rows]
            highest, left = torch.where(better, value, highest), torch.where(better, self.left_at(evidence), left)
            active = better
            if number + 1 == rounds or not bool(active.any()):
                break
            for _ in range(self.steps):
                parameters = ascent.step(evidence, parameters)
        return Mode(stack(found, bound, parameters), left.cpu().numpy())

    def evidence(self, parameters: Parameters) -> LaplaceEvidence:
        """Laplace's evidence around the weights of these parameters."""
        return LaplaceEvidence(Linearised.of(self.vectors.with_parameters(parameters), self.row_weights))

    def at_mode(self, parameters: Parameters, damping: Tensor) -> tuple[Parameters, Tensor]:
        """The parameters with the weights moved towards their mode, and μ (M,)."""
        moving = torch.ones_like(damping, dtype=torch.bool)
        for _ in range(MOST_STEPS):
            evidence = self.evidence(parameters)
            vectors = evidence.linearised.vectors
            energy, gradient = self.energy_and_gradient(evidence, vectors.mean)
            step, gain, damping = self.damped_step(evidence, energy, gradient, damping, moving)
            parameters = vectors.bound.weights.moved(parameters, vectors.by_group(step))
            moving = moving & (gain > ENOUGH)
            if not bool(moving.any()):
                break
        return parameters, damping

    def damped_step(
        self, evidence: LaplaceEvidence, energy: Tensor, gradient: Tensor, damping: Tensor, moving: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A step (M, n) that lowers the energy, 0 where none does, what it gains, and μ after it, (M,) each."""
        linearised = evidence.linearised
        step, gain, waiting = torch.zeros_like(gradient), torch.zeros_like(energy), moving
        for _ in range(MOST_TRIALS):
            with torch.no_grad():
                normal = linearised.normal(linearised.vectors.parameters, damping)
                trial = -normal.solve(gradient).where(linearised.vectors.used, 0.0)
                lower = energy - evidence.energy(linearised.vectors.mean + trial)
            taken = waiting & (lower > 0)
            step, gain = torch.where(taken.unsqueeze(1), trial, step), torch.where(taken, lower, gain)
            damping = torch.where(taken, LOWER * damping, torch.where(waiting, HIGHER * damping, damping))
            waiting = waiting & ~taken
            if not bool(waiting.any()):
                break
        return step, gain, damping

    def energy_and_gradient(self, evidence: LaplaceEvidence, w: Tensor) -> tuple[Tensor, Tensor]:
        """−log p(y, w | h), (M,), and its gradient (M, n), 0 where it isn't finite."""

        def total(at: Tensor) -> tuple[Tensor, Tensor]:
            values = evidence.energy(at)
            return values.sum(), values

        gradient, energy = torch.func.grad(total, has_aux=True)(w)
        return energy, gradient.nan_to_num(0.0, 0.0, 0.0)

    def left_at(self, evidence: LaplaceEvidence) -> Tensor:
        """½ gᵀH⁻¹g at the linearised members' own parameters, (M,)."""
        vectors = evidence.linearised.vectors
        _, gradient = self.energy_and_gradient(evidence, vectors.mean)
        with torch.no_grad():
            solved = evidence.linearised.normal(vectors.parameters).solve(gradient).where(vectors.used, 0.0)
        return 0.5 * (gradient * solved).sum(1)


@dataclass
class AscentOfH:
    """Adam on h, element by element."""

    of_h: Sequence[Role]
    rate: float
    done: int = 0
    means: Parameters | None = None
    squares: Parameters | None = None

    def step(self, evidence: LaplaceEvidence, parameters: Parameters) -> Parameters:
        """The parameters with h a step up the evidence; everything else has no gradient, and stays."""
        bound = evidence.linearised.vectors.bound
        slopes = bound.labelled(evidence.gradient(parameters, self.of_h))
        none = {label: torch.zeros_like(value) for label, value in slopes.items()}
        means = none if self.means is None else bound.labelled(self.means)
        squares = none if self.squares is None else bound.labelled(self.squares)
        first, second = DECAYS
        self.done += 1
        means = {label: first * means[label] + (1 - first) * slope for label, slope in slopes.items()}
        squares = {label: second * squares[label] + (1 - second) * slope.square() for label, slope in slopes.items()}
        self.means, self.squares = bound.of_labels(means), bound.of_labels(squares)
        moved = {}
        for label, value in bound.labelled(parameters).items():
            size = (squares[label] / (1 - second**self.done)).sqrt() + torch.finfo(value.dtype).tiny
            moved[label] = value + self.rate * means[label] / (1 - first**self.done) / size
        return bound.of_labels(moved)
