"""The steps of θ between two steps of h, for methods that differentiate through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .inner_method import InnerMethod
from .stage_inputs import StageInputs


@dataclass(frozen=True)
class Path:
    """η steps with h held; see `plugins.InnerPath`. Numbers that don't `move` (P,) stay and have no derivatives."""

    start: Tensor
    start_velocity: Tensor
    end: Tensor
    first_step: int
    length: int
    moves: Tensor
    inner: InnerMethod
    inputs: StageInputs
    program: Callable[[str], Callable[..., Tensor]]

    @property
    def momentum(self) -> float:
        """μ."""
        return self.inner.momentum or 0.0

    def rate(self, step: int) -> Tensor:
        """β_τ, a 0-d tensor."""
        return self.inputs.setup.tables.rate[self.first_step + step]

    def gradient(self, step: int, at: Tensor) -> Tensor:
        """∇_θ L_τ, (P,) and zero where nothing moves."""
        gradient = self.program("path_gradient")(at, self.inputs.at(self.first_step + step))
        return torch.where(self.moves, gradient, torch.zeros_like(gradient))

    def curvature_product(self, step: int, at: Tensor, direction: Tensor) -> Tensor:
        """∇²(−L_τ) · v, (P,)."""
        return self.program("path_curvature")(at, direction, self.inputs.at(self.first_step + step))
