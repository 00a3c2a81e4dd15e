"""One training step of a population as a function of tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model.population import Indices
from ..objective.bound import Bound, Noise
from .adam import ascend
from .conditioning import Coordinates
from .flat import FlatLayout

StepTerms = tuple[Tensor, Tensor, Tensor]


def make_step(bound: Bound, layout: FlatLayout, coordinates: Coordinates) -> Callable[..., StepTerms]:
    """The step that raises log p(y | …) − c_reg · KL of every member, jointly over θ and the learned h.

    The returned function updates the flat parameters, their moments and `diverged_at` in place, so that no step
    allocates them anew, and returns the terms of the bound before the update, (M,) each. `diverged_at` (M,) is the
    first step whose bound wasn't finite, or −1. `whitening` are the matrices of the coordinates, which another
    population of the same signature has its own of. `of_structure` says which parameters are of q(Γ) or p(Γ): they
    stay where they are while `structure_moves` is false.
    """

    def step(
        parameters: Tensor,
        first: Tensor,
        second: Tensor,
        diverged_at: Tensor,
        number: Tensor,
        rate: Tensor,
        c_reg: Tensor,
        c_temp: Tensor,
        structure_moves: Tensor,
        of_structure: Tensor,
        normals: Tensor,
        uniforms: Tensor,
        x: Tensor,
        y: Tensor,
        factor: Tensor,
        edge_indices: Any,
        group_indices: Any,
        whitening: dict[str, Tensor],
    ) -> StepTerms:
        indices, noise = Indices(edge_indices, group_indices), Noise(normals, uniforms)

        def total(candidate: Tensor) -> tuple[Tensor, StepTerms]:
            parameters = coordinates.plain(layout.unpack(candidate), whitening)
            terms = bound.terms(parameters, noise, x, y, c_temp, indices, factor)
            objective = terms.log_likelihood - c_reg * (terms.kl_weights + terms.kl_structure)
            return objective.sum(), (terms.log_likelihood, terms.kl_weights, terms.kl_structure)

        terms: StepTerms
        gradient, terms = torch.func.grad(total, has_aux=True)(parameters)
        gradient = torch.where(of_structure & ~structure_moves, torch.zeros_like(gradient), gradient)
        raised, new_first, new_second = ascend(parameters, gradient, first, second, rate, number)
        parameters.copy_(raised)
        first.copy_(new_first)
        second.copy_(new_second)
        finite = torch.isfinite(terms[0] - terms[1] - terms[2])
        diverged_at.copy_(torch.where((diverged_at < 0) & ~finite, number, diverged_at))
        return terms

    return step
